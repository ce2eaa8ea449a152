import type { Coupling } from "../coupling/analyse.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { NodeView } from "../infer/view.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { fixedData, rearranged } from "./normalise.ts";

/**
 * For each index of an axis, the one number that fills the whole slice at that index whatever the model is fed; NaN where
 * the slice varies or is not one number.
 */
export type SliceConstants = Float64Array;

/** What holds the constants of a graph; see `sliceConstants`. */
export interface SliceSource {
  readonly coupling: Coupling;
  readonly of: (value: Value, axis: number) => SliceConstants | undefined;
}

/** A node as the rules for constants see it. */
export class SliceContext {
  readonly view: NodeView;
  readonly #source: SliceSource;

  constructor(node: Node, source: SliceSource) {
    const { graph, inference } = source.coupling;
    this.view = new NodeView(graph, node, inference);
    this.#source = source;
  }

  get node(): Node {
    return this.view.node;
  }

  /** Size of an axis of input `index`, if it is a number. */
  size(index: number, axis: number): number | undefined {
    const dim = this.view.shape(index)?.[axis];
    return typeof dim === "number" ? dim : undefined;
  }

  outputSize(axis: number): number | undefined {
    const dim = this.view.outputShape()?.[axis];
    return typeof dim === "number" ? dim : undefined;
  }

  /** The slices of input `index` along an axis. */
  slices(index: number, axis: number): SliceConstants | undefined {
    const value = this.node.inputs[index];
    return value && this.#source.of(value, axis);
  }

  /** A fixed input's elements, through the rearrangements on the way. */
  numbers(index: number): ArrayLike<number> | undefined {
    const value = this.node.inputs[index];
    const data = value && fixedTensor(this.#source.coupling, value);
    return data && isNumeric(data) ? readNumbers(data) : undefined;
  }

  /** The single number that fills a fixed input. */
  uniform(index: number): number | undefined {
    const numbers = this.numbers(index);
    if (!numbers || numbers.length === 0) return undefined;
    for (let i = 1; i < numbers.length; i++) if (numbers[i] !== numbers[0]) return undefined;
    return numbers[0];
  }
}

/** The content of a value that is a constant, or a rearranged one (tied weights are used through a Transpose). */
function fixedTensor({ graph, inference }: Coupling, value: Value): Tensor | undefined {
  const data = fixedData(graph, value);
  if (data) return data;
  const producer = graph.producer(value);
  const source = producer?.domain === "" ? producer.inputs[0] : undefined;
  const inner = source && fixedData(graph, source);
  return producer && inner ? rearranged(producer, inner, inference.types.get(value)?.shape) : undefined;
}

export function isNumeric({ dtype }: Tensor): boolean {
  return dtype !== "string" && dtype !== "complex64" && dtype !== "complex128";
}
