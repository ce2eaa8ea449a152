import { DgateError } from "@dgate/core";
import { Graph, type Value } from "../graph/graph.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { trainingForm } from "../training-form/training-form.ts";
import { backward } from "./backward.ts";
import { mergeCommonNodes } from "../operators/common-nodes.ts";
import { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import { simplify } from "./simplify.ts";
import { isDifferentiable, pathBetween } from "./path.ts";

/** What to differentiate. */
export interface GradientOptions {
  /** A value of one element, by name. */
  readonly loss: string;
  /** Inputs, initializers or other values, by name. */
  readonly wrt: readonly string[];
  /** Outputs of the model to keep beside the loss (default none). */
  readonly outputs?: readonly string[];
}

/** The name of the output that holds the gradient with respect to a value. */
export const gradientName = (name: string): string => `${name}.gradient`;

/**
 * The backward pass of a graph as a graph: takes what the model takes, and gives the loss, the outputs asked for and ∂loss/∂v, named
 * `v.gradient` and of v's shape, for each v of `wrt`. Only standard operators that onnxruntime has for CPU, WASM and WebGPU are added; fused and quantized
 * operators of the model are written out (see `trainingForm`). The graph itself is not changed.
 *
 * @throws DgateError `OPTION` for names that the model does not have, `wrt` of integers, or a loss of several elements; `NO_MATCH`
 * if the loss does not depend on a value of `wrt`; `UNSUPPORTED` naming operator, node and domain, for one without derivative and for
 * control flow on the way
 */
export function gradients(graph: Graph, { loss, wrt, outputs = [] }: GradientOptions): Graph {
  if (!(graph instanceof Graph) || !Array.isArray(wrt)) {
    throw new DgateError(
      "OPTION",
      'gradients: takes a Graph (readModel makes one) and { loss: "NAME", wrt: ["NAME", …] }.',
    );
  }
  const names = [loss, ...wrt, ...outputs];
  const training = trainingForm(graph, names);
  const ops = new GraphDiffOps(training, "gradient");
  const found = emitGradients(ops, loss, wrt);
  training.setOutputs([loss, ...outputs].map((name) => training.value(name)!));
  for (const [name, value] of found) training.addOutput(nameOutput(ops, value, gradientName(name)));
  tidy(training);
  return training;
}

/** Removes what nothing uses and what is computed twice, and orders the nodes. */
export function tidy(graph: Graph): void {
  const merge = (): void => {
    removeDeadCode(graph);
    while (mergeCommonNodes(graph) > 0) continue;
    removeDeadCode(graph);
  };
  merge();
  simplify(new GraphDiffOps(graph, "gradient"));
  merge();
  graph.sortNodes();
}

/** Gives a value a name of its own as an output. */
export function nameOutput(ops: GraphDiffOps, value: Value, name: string): Value {
  const { graph } = ops;
  const taken = !graph.producer(value) || graph.uses(value).some((use) => use.node === undefined);
  if (taken) return copyOf(ops, value, name);
  graph.rename(value, name);
  return value;
}

function copyOf({ graph, inference }: GraphDiffOps, value: Value, name: string): Value {
  const type = inference.types.get(value);
  const copy = graph.addValue(name, type);
  graph.addNode({ op: "Identity", inputs: [value], outputs: [copy], name });
  if (type) inference.types.set(copy, type);
  return copy;
}

/**
 * Adds the gradients of a loss to a graph in training form.
 *
 * @returns a value for each name of `wrt`
 * @throws DgateError as `gradients`
 */
function emitGradients(ops: GraphDiffOps, loss: string, wrt: readonly string[]): Map<string, Value> {
  const { graph } = ops;
  const named = (name: string): Value => {
    const value = graph.value(name);
    if (value) return value;
    throw new DgateError("OPTION", `gradients: graph "${graph.name}" has no value "${name}".`);
  };
  const target = named(loss);
  checkLoss(ops, target, "gradients");
  const values = wrt.map(named);
  // Before a type is asked for that control flow hides.
  pathBetween(graph, values, [target], (value) => ops.inference.types.get(value)?.dtype);
  for (const value of values) checkWrt(ops, value);
  const one = ops.constant(ops.dtype(target), [], [1]);
  const seed = ops.expandLike(one, target);
  const found = backward({
    graph,
    ops,
    tensorOf: (value) => value,
    seeds: new Map([[target, seed]]),
    wrt: values,
  });
  const independent = values.find((value) => !found.has(value));
  if (independent) {
    throw new DgateError(
      "NO_MATCH",
      `gradients: the loss "${loss}" does not depend on "${independent.name}"; leave it out, or give another loss.`,
    );
  }
  return new Map(wrt.map((name, i) => [name, found.get(values[i]!)!]));
}

/**
 * A loss has one element, as far as its shape is known.
 * @throws DgateError `OPTION`
 */
export function checkLoss(ops: GraphDiffOps, loss: Value, where: string): void {
  const shape = ops.shape(loss);
  const whole = shape?.every((dim) => dim === 1);
  if (whole !== false) return;
  throw new DgateError(
    "OPTION",
    `${where}: the loss "${loss.name}" is [${shape!.map((dim) => dim ?? "?").join(", ")}], expected one element; reduce it first.`,
  );
}

function checkWrt(ops: GraphDiffOps, value: Value): void {
  const dtype = ops.dtype(value);
  if (isDifferentiable(dtype)) return;
  throw new DgateError(
    "OPTION",
    `gradients: "${value.name}" is ${dtype} and has no gradient; only floating-point values have.`,
  );
}
