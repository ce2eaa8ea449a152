import { nameOutput } from "../autodiff/gradients.ts";
import type { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import type { Value } from "../graph/graph.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Parameter } from "./parameter.ts";
import { trainingNames } from "./training-names.ts";

/** How parameters are updated. */
interface UpdateOptions {
  readonly optimizer: Optimizer;
  /** Largest norm of the whole gradient. */
  readonly clipNorm: number | undefined;
}

/** The optimiser's nodes; gives the inputs that were added. */
export function addUpdates(
  ops: GraphDiffOps,
  parameters: readonly Parameter[],
  gradients: ReadonlyMap<string, Value>,
  { optimizer, clipNorm }: UpdateOptions,
): Value[] {
  const { graph, inference } = ops;
  const added: Value[] = [];
  const input = (name: string, shape: readonly number[]): Value => {
    const type = { dtype: "float32", shape } as const;
    const value = graph.addInput(name, type);
    inference.types.set(value, type);
    added.push(value);
    return value;
  };
  const rates = { gate: input(trainingNames.gateRate, []), weight: input(trainingNames.learningRate, []) };
  const scalars = Array.from({ length: optimizer.scalarCount }, (_, i) => input(trainingNames.scalar(i), []));
  const squares = parameters.map(({ name }) =>
    ops.reduce("ReduceSumSquare", gradients.get(name)!, undefined, false),
  );
  const norm = ops.sqrt(squares.reduce((a, b) => ops.add(a, b)));
  graph.addOutput(nameOutput(ops, norm, trainingNames.norm));
  const factor = clipNorm === undefined ? undefined : clipFactor(ops, norm, clipNorm);
  for (const { name, shape, kind } of parameters) {
    const gradient = gradients.get(name)!;
    const slots = Array.from({ length: optimizer.slots }, (_, i) =>
      input(trainingNames.slot(name, i), shape),
    );
    const next = optimizer.emit(ops, {
      parameter: graph.value(name)!,
      gradient: factor ? ops.mul(gradient, factor) : gradient,
      slots,
      learningRate: kind === "gate" ? rates.gate : rates.weight,
      scalars,
      decays: kind === "other",
    });
    graph.addOutput(nameOutput(ops, next.parameter, trainingNames.next(name)));
    next.slots.forEach((slot, i) => {
      graph.addOutput(nameOutput(ops, slot, trainingNames.next(trainingNames.slot(name, i))));
    });
  }
  return added;
}

/** min(1, limit/‖g‖) */
function clipFactor(ops: GraphDiffOps, norm: Value, limit: number): Value {
  const safe = ops.call("Max", [norm, ops.scalar(1e-30, norm)]);
  return ops.call("Min", [ops.div(ops.scalar(limit, norm), safe), ops.scalar(1, norm)]);
}
