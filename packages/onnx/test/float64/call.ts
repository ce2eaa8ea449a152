import type { Attribute } from "../../src/graph/attribute.ts";
import type { Float64Tensor } from "./tensor.ts";

/** What of a node decides what it computes. */
export interface NodeForm {
  readonly op: string;
  readonly domain?: string;
  readonly attributes: ReadonlyMap<string, Attribute>;
}

/** One application of an operator: its attributes with their defaults, its inputs, the number of outputs asked for. */
export class Call {
  readonly node: NodeForm;
  readonly inputs: readonly (Float64Tensor | undefined)[];
  readonly outputs: number;

  constructor(node: NodeForm, inputs: readonly (Float64Tensor | undefined)[], outputs: number) {
    this.node = node;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  /** A required input. */
  input(index: number): Float64Tensor {
    return this.inputs[index] ?? this.fail(`input ${index} is missing`);
  }

  /** The elements of a small input, `undefined` where it is left out. */
  numbers(index: number): readonly number[] | undefined {
    const input = this.inputs[index];
    return input && [...input.data];
  }

  int(name: string, fallback: number): number {
    const attribute = this.node.attributes.get(name);
    return attribute?.kind === "int" ? attribute.value : fallback;
  }

  float(name: string, fallback: number): number {
    const attribute = this.node.attributes.get(name);
    return attribute?.kind === "float" || attribute?.kind === "int" ? attribute.value : fallback;
  }

  string(name: string, fallback: string): string {
    const attribute = this.node.attributes.get(name);
    return attribute?.kind === "string" ? attribute.value : fallback;
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.node.attributes.get(name);
    return attribute?.kind === "ints" ? attribute.value : undefined;
  }

  /** An axis attribute counted from the front. */
  axis(name: string, fallback: number, rank: number): number {
    return this.front(this.int(name, fallback), rank);
  }

  /** Axes, counted from the front, of an input or (in older operator sets) the attribute `axes`. */
  axes(index: number, rank: number): readonly number[] | undefined {
    return (this.numbers(index) ?? this.ints("axes"))?.map((axis) => this.front(axis, rank));
  }

  /** The axis counted from the front; it must be one of `rank`. */
  front(axis: number, rank: number): number {
    const front = axis < 0 ? axis + rank : axis;
    return front >= 0 && front < rank ? front : this.fail(`axis ${axis} is not one of ${rank}`);
  }

  fail(problem: string): never {
    const shapes = this.inputs.map((x) => (x ? `${x.dtype}[${x.shape.join(", ")}]` : "none"));
    throw new Error(`float64 ${this.node.op}(${shapes.join(", ")}): ${problem}`);
  }
}

/** How an operator computes its outputs. */
export type Kernel = (call: Call) => Float64Tensor | Float64Tensor[];
