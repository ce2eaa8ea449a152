import { DgateError } from "@dgate/core";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import { applyTo } from "../ops/rule-of.ts";
import type { DiffOps } from "../operators/diff-ops.ts";
import { type Path, pathBetween } from "./path.ts";
import { vjps } from "./rules/rules.ts";
import { sumTo } from "./sum-to.ts";
import type { Applied, Vjp } from "./vjp.ts";

/** What a reverse pass is told. */
export interface ReversePass<T> {
  /** The nodes and edges; what `ops` adds to it is not gone through. */
  readonly graph: Graph;
  readonly ops: DiffOps<T>;
  /** What a value of the graph is as a tensor. */
  readonly tensorOf: (value: Value) => T;
  /** ∂L/∂value where the pass begins. */
  readonly seeds: ReadonlyMap<Value, T>;
  readonly wrt: readonly Value[];
}

/**
 * Reverse-mode differentiation: ∂L/∂v for each v of `wrt` that L depends on. Goes once through the nodes between `wrt` and the seeds, adds up the
 * contributions of a value before its producer is reached, and builds nothing for inputs that lead nowhere.
 *
 * @throws DgateError `UNSUPPORTED` naming operator, node and domain, for an operator without a rule and for control flow
 */
export function backward<T>({ graph, ops, tensorOf, seeds, wrt }: ReversePass<T>): Map<Value, T> {
  const dtypeOf = (value: Value) => value.data?.dtype ?? ops.knownDtype(tensorOf(value));
  const path = pathBetween(graph, wrt, seeds.keys(), dtypeOf);
  // Before anything is emitted: what lies behind an unknown operator is not known either, and rules could fail for that.
  for (const node of path.nodes) {
    node.inputs.forEach((input, index) => input && path.values.has(input) && ruleFor(node, index));
  }
  const cotangents = new Map<Value, T[]>([...seeds].map(([value, seed]) => [value, [seed]]));
  const total = (value: Value): T | undefined => {
    const parts = cotangents.get(value);
    return parts && path.values.has(value) ? parts.reduce((a, b) => ops.add(a, b)) : undefined;
  };
  for (const node of path.nodes.toReversed()) {
    const own = node.outputs.map((output) => output && total(output));
    if (own.every((cotangent) => cotangent === undefined)) continue;
    const applied: Applied<T> = {
      node,
      inputs: node.inputs.map((input) => input && tensorOf(input)),
      outputs: node.outputs.map((output) => output && tensorOf(output)),
      cotangents: own,
    };
    for (const [input, contribution] of contributions(ops, applied, path)) {
      cotangents.set(input, [...(cotangents.get(input) ?? []), contribution]);
    }
  }
  return new Map(
    wrt.flatMap((value) => {
      const found = total(value);
      return found === undefined ? [] : [[value, found] as const];
    }),
  );
}

/** Operators whose rules read the cotangents of all outputs; others read that of the first. */
const readingAll: ReadonlySet<string> = new Set(["Split"]);

function contributions<T>(ops: DiffOps<T>, applied: Applied<T>, path: Path): (readonly [Value, T])[] {
  const { node, inputs, cotangents } = applied;
  const other = cotangents.findIndex((cotangent, i) => i > 0 && cotangent !== undefined);
  if (other > 0 && !readingAll.has(node.op)) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: there is no derivative rule for output ${other} of ${describeNode(node)} (domain "${node.domain || "ai.onnx"}"); ` +
        "leave what lies before it out of what is trained.",
    );
  }
  return node.inputs.flatMap((input, index) => {
    if (!input || !path.values.has(input)) return [];
    const rule = ruleFor(node, index);
    // Rules of several outputs look at all cotangents; the first may be absent there.
    const g = cotangents[0] ?? cotangents.find((cotangent) => cotangent !== undefined)!;
    const contribution = applyTo(node, () => rule(ops, applied, g));
    const whole = unstretched.has(node.op);
    return [[input, whole ? contribution : sumTo(ops, contribution, inputs[index]!)] as const];
  });
}

/** Operators that stretch no input, and whose rules may not know the sizes of what they give. */
const unstretched: ReadonlySet<string> = new Set([
  "AveragePool",
  "Conv",
  "ConvTranspose",
  "DepthToSpace",
  "MaxPool",
  "Resize",
  "SpaceToDepth",
]);

function ruleFor(node: Node, index: number): Vjp {
  const row = node.domain === "" && Object.hasOwn(vjps, node.op) ? vjps[node.op] : undefined;
  const rule = typeof row === "function" ? row(index) : row?.[index];
  if (rule) return rule;
  const which = row ? `input ${index} of ${describeNode(node)}` : describeNode(node);
  throw new DgateError(
    "UNSUPPORTED",
    `gradients: there is no derivative rule for ${which} (domain "${node.domain || "ai.onnx"}"); ` +
      "leave what lies before it out of what is trained.",
  );
}
