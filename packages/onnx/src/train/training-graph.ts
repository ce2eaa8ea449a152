import { DgateError, type GroupSet } from "@dgate/core";
import { backward } from "../autodiff/backward.ts";
import { nameOutput, tidy } from "../autodiff/gradients.ts";
import { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import { type ResolvedGates, resolveGates } from "../gating/resolve-gates.ts";
import type { Graph, Value, ValueType } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { trainingForm } from "../training-form/training-form.ts";
import { addPenalty, type Penalised, weightedSet } from "./add-penalty.ts";
import { addUpdates } from "./add-updates.ts";
import type { LabelRange, Loss, LossContext } from "./loss.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Parameter, Trained } from "./parameter.ts";
import { learnedConstants } from "./learned-constants.ts";
import { scaleActivations } from "./scale-activations.ts";
import type { GroupWeights, PenaltyKind } from "./trainer-options.ts";
import { trainingNames } from "./training-names.ts";

/** How a training graph is made. */
export interface TrainingGraphOptions {
  readonly loss: Loss;
  readonly train: Trained;
  /** Constants that are not trained, by name. */
  readonly freeze?: readonly string[];
  readonly groupWeights: GroupWeights;
  readonly penalty: PenaltyKind;
  /** D. */
  readonly depth: number;
  /** Inside of the graph, with new parameters as outputs; or outside, with gradients as outputs. */
  readonly updates: "graph" | "host";
  readonly optimizer: Optimizer;
  /** Largest norm of the whole gradient. */
  readonly clipNorm: number | undefined;
}

/** A step of training as a graph. */
export interface TrainingGraph {
  readonly graph: Graph;
  readonly parameters: readonly Parameter[];
  /** The inputs that each batch has to give. */
  readonly batchInputs: readonly Value[];
  /** Outputs of the dense model that each batch is given, by the names of the model. */
  readonly teacher: readonly string[];
  /** What the loss's input of class numbers may hold. */
  readonly labels: LabelRange | undefined;
  /** The groups, with the weights of their penalty and the names of their tensors. */
  readonly sets: readonly PenalisedSet[];
}

/** Groups of weights, by the names of the parameters that they are in. */
export interface PenalisedSet {
  readonly set: GroupSet;
  readonly tensors: readonly string[];
}

/**
 * Forward pass, loss, penalty and backward pass of a gated model as one graph, with the parameters as inputs; and the updates, if they
 * are to be inside. Gates and penalty are core's algebra.
 *
 * @throws DgateError `NO_MATCH` if the loss does not depend on the gates, as `gradients`, and from the loss
 */
export function trainingGraph(gated: Graph, options: TrainingGraphOptions): TrainingGraph {
  const resolved = resolveGates(gated);
  const outputs = gated.outputs.map(({ name }) => name);
  const gates = resolved.flatMap((each) => each.gates.map(({ name }) => name));
  const weights = [...new Set(resolved.flatMap((each) => each.weights.map(({ value }) => value.name)))];
  const graph = trainingForm(gated, [...outputs, ...gates, ...weights]);
  const kinds = chooseParameters(graph, { gated, resolved }, options, gates, weights);
  const parameters = [...kinds].map(([name, kind]) => openParameter(graph, name, kind));
  const ops = new GraphDiffOps(graph, "train");
  scaleActivations(ops, {
    isWeight: (value) => value.data !== undefined || kinds.get(value.name) === "grouped",
    // Maps are larger than kernels: only a frozen kernel is better off.
    layers: options.train === "gates" ? ["MatMul", "Gemm", "Conv"] : ["MatMul", "Gemm"],
  });
  const teacher = teacherOutputs(options.loss, outputs);
  const { loss, seeds, labels } = options.loss.emit(lossContext(ops, outputs, kinds));
  const reached = differentiate(ops, seeds, parameters);
  checkReached(resolved, parameters, reached, options.penalty);
  const penalised = addPenalty(graph, resolved, reached, options);
  const kept = parameters.filter(({ name }) => penalised.gradients.has(name));
  for (const parameter of parameters) if (!kept.includes(parameter)) closeParameter(graph, parameter);
  const sets = resolved.map((each): PenalisedSet => {
    return {
      set: weightedSet(each, options.groupWeights),
      tensors: each.weights.map(({ value }) => value.name),
    };
  });
  return { ...finish({ graph, loss, labels, teacher, parameters: kept, options, ...penalised }), sets };
}

function chooseParameters(
  graph: Graph,
  { gated, resolved }: { readonly gated: Graph; readonly resolved: readonly ResolvedGates[] },
  { train, penalty, freeze = [] }: Pick<TrainingGraphOptions, "train" | "penalty" | "freeze">,
  gates: readonly string[],
  weights: readonly string[],
): Map<string, Parameter["kind"]> {
  const kinds = new Map<string, Parameter["kind"]>();
  if (train === "all") {
    const fixed = gateConstants(gated, resolved);
    for (const { name, data } of learnedConstants(graph)) {
      if (fixed.has(name) || freeze.includes(name)) continue;
      // What the training form made of several constants has no place to go back to.
      if (gated.value(name)?.data?.shape.join() === data!.shape.join()) kinds.set(name, "other");
    }
  }
  const frozen = freeze.find((name) => weights.includes(name));
  if (frozen !== undefined) {
    throw new DgateError(
      "OPTION",
      `train: freeze names "${frozen}", which is in the groups of a gated site; leave that site out of gate, or the name out of freeze.`,
    );
  }
  if (train !== "gates") for (const name of weights) kinds.set(name, "grouped");
  // Without D-Gating they stay what they are, ones.
  if (penalty === "smooth") for (const name of gates) kinds.set(name, "gate");
  return kinds;
}

/** The constants of what computes `ω·Πγ`: the ones that spread a gate over its group are multiplied, but no weights. */
function gateConstants(gated: Graph, resolved: readonly ResolvedGates[]): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (value: Value | undefined): void => {
    if (!value || found.has(value.name)) return;
    found.add(value.name);
    for (const input of gated.producer(value)?.inputs ?? []) visit(input);
  };
  for (const each of resolved) each.gated.forEach(visit);
  return found;
}

/** Makes a constant an input that has to be fed. */
function openParameter(graph: Graph, name: string, kind: Parameter["kind"]): Parameter {
  const value = graph.value(name);
  const { data } = value ?? {};
  if (!value || !data) {
    throw new DgateError("GROUP", `train: the training form of the model has no constant "${name}".`);
  }
  if (data.dtype === "float64") {
    throw new DgateError(
      "UNSUPPORTED",
      `train: "${name}" is float64, and training computes in float32; export the model in float32.`,
    );
  }
  value.type = { dtype: "float32", shape: data.shape };
  if (!graph.isInput(value)) graph.declareInput(value);
  value.data = undefined;
  const initial = (): Float32Array => {
    const numbers = readNumbers(data);
    return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  };
  return { name, shape: data.shape, initial, kind };
}

/** Makes a constant again of what neither loss nor penalty depends on. */
function closeParameter(graph: Graph, { name, shape, initial }: Parameter): void {
  const value = graph.value(name)!;
  graph.setData(value, tensorOf("float32", shape, initial()));
  graph.undeclareInput(value);
}

function lossContext(
  ops: GraphDiffOps,
  outputs: readonly string[],
  parameters: ReadonlyMap<string, unknown>,
): LossContext {
  const { graph, inference } = ops;
  return {
    ops,
    output: (name) => graph.value(chooseOutput(outputs, name))!,
    input(name, type: ValueType) {
      const found = graph.value(name);
      if (found && graph.isInput(found) && !parameters.has(name)) return found;
      if (found)
        throw new DgateError(
          "OPTION",
          `train: "${name}" is a value of the model already; name the loss's input otherwise.`,
        );
      const value = graph.addInput(name, type);
      inference.types.set(value, type);
      return value;
    },
  };
}

/** @throws DgateError `OPTION` */
function chooseOutput(outputs: readonly string[], name: string | undefined): string {
  if (name !== undefined && outputs.includes(name)) return name;
  if (name === undefined && outputs.length === 1) return outputs[0]!;
  throw new DgateError(
    "OPTION",
    `train: ${name === undefined ? "say which output the loss is for" : `the model has no output "${name}"`}; it has ${outputs.join(", ")}.`,
  );
}

const teacherOutputs = ({ teacher = [] }: Loss, outputs: readonly string[]): string[] =>
  teacher.map((name) => chooseOutput(outputs, name));

/** ∂loss/∂parameter by name, of those that the loss depends on. */
function differentiate(
  ops: GraphDiffOps,
  seeds: ReadonlyMap<Value, Value>,
  parameters: readonly Parameter[],
): Map<string, Value> {
  const wrt = parameters.map(({ name }) => ops.graph.value(name)!);
  const found = backward({ graph: ops.graph, ops, tensorOf: (value) => value, seeds, wrt });
  return new Map([...found].map(([value, gradient]) => [value.name, gradient]));
}

/** Every gate, and without gates every weight that is in a group, must have a gradient. */
function checkReached(
  resolved: readonly ResolvedGates[],
  parameters: readonly Parameter[],
  reached: ReadonlyMap<string, Value>,
  penalty: PenaltyKind,
): void {
  const kind = penalty === "smooth" ? "gate" : "grouped";
  const lost = parameters.find((parameter) => parameter.kind === kind && !reached.has(parameter.name));
  if (!lost) return;
  const site = resolved.find(({ gates, weights }) =>
    [...gates, ...weights.map(({ value }) => value)].some(({ name }) => name === lost.name),
  )!.site.name;
  throw new DgateError(
    "NO_MATCH",
    `train: the loss does not depend on the ${penalty === "smooth" ? "gates" : "groups"} of site "${site}"; leave that site out, or take a loss of another output.`,
  );
}

interface Unfinished extends Penalised {
  readonly graph: Graph;
  readonly loss: Value;
  readonly teacher: readonly string[];
  readonly labels: LabelRange | undefined;
  readonly parameters: readonly Parameter[];
  readonly options: TrainingGraphOptions;
}

function finish(unfinished: Unfinished): Omit<TrainingGraph, "sets"> {
  const { graph, loss, penalty, gradients, parameters, teacher, labels, options } = unfinished;
  const own = new Set<Value>(parameters.map(({ name }) => graph.value(name)!));
  own.add(graph.value(trainingNames.lambda)!);
  const ops = new GraphDiffOps(graph, "train");
  graph.setOutputs([]);
  graph.addOutput(nameOutput(ops, ops.reshape(loss, []), trainingNames.loss));
  graph.addOutput(nameOutput(ops, penalty, trainingNames.penalty));
  if (options.updates === "host") {
    for (const { name } of parameters) {
      graph.addOutput(nameOutput(ops, gradients.get(name)!, trainingNames.gradient(name)));
    }
  } else {
    for (const value of addUpdates(ops, parameters, gradients, options)) own.add(value);
  }
  tidy(graph);
  for (const input of graph.inputs)
    if (!own.has(input) && graph.uses(input).length === 0) graph.removeInput(input);
  const batchInputs = graph.requiredInputs.filter((input) => !own.has(input));
  return { graph, parameters, batchInputs, teacher, labels };
}
