import { DgateError, randomGenerator } from "@dgate/core";
import {
  findSites,
  foldGates,
  type Graph,
  graphOps,
  insertGates,
  planDeadGroups,
  prune,
  readNumbers,
  tensorOf,
  type Value,
} from "@dgate/onnx";
import { type Batch, type Loss, openTrainer } from "@dgate/onnx/train";
import type { Outcome } from "../training/point.ts";
import type { Method } from "./method.ts";
import type { MethodContext } from "./training-run.ts";

/** Temperature and the interval that the gates are stretched to: β, γ and ζ of Louizos et al. 2018. */
const [temperature, low, high] = [2 / 3, -0.1, 1.1];
/** Probability that a gate is closed, at first. */
const dropRate = 0.2;
/** The output that counts them, and the input with λ. */
const [openness, weight] = ["openness", "openness.lambda"];

const method = (name: string, look: Pick<Method, "colour" | "dashed">, times = 1): Method => ({
  name,
  strength: "lambda",
  ...look,
  async run(context, strengths) {
    const outcomes: Outcome[] = [];
    for (const lambda of strengths) outcomes.push(await trainHardConcrete(context, lambda, times));
    return outcomes;
  },
});

/**
 * L0 regularisation by hard-concrete gates (Louizos, Welling and Kingma 2018): a gate of each group is drawn anew for every batch, and λ times the
 * expected number of open ones is added to the loss. Afterwards each gate takes the value of its location; what is at zero goes.
 */
export const hardConcrete = method("L0, hard concrete", { colour: 9 });

/**
 * The same with a rate of SGD for the locations of the gates that is so many times that of the weights. Where the norm of all gradients is clipped, theirs
 * count as much more in it.
 */
export const hardConcreteFaster = (times: number, colour = 9): Method =>
  // Of p = location / s the gradient is s times as large, and so is what a step of p moves the location by.
  method(`L0, hard concrete, gates ${times} times as fast`, { colour, dashed: true }, Math.sqrt(times));

async function trainHardConcrete(
  { task, seed, backend }: MethodContext,
  lambda: number,
  times: number,
): Promise<Outcome> {
  const dense = await task.build(seed);
  const gated = insertGates(dense, findSites(dense), { depth: 2, sites: task.gate });
  const gateSpeed = times * (task.gateSpeed ?? 1);
  const { graph, gates } = withHardConcrete(gated, gateSpeed);
  const own = new Set(gated.initializers.map(({ name }) => name));
  for (const { name } of dense.initializers) own.delete(name);
  const trainer = await openTrainer(graph, {
    loss: withOpenness(task.loss, dense.outputs[0]!.name),
    gate: "none",
    // What spreads a gate over its group is no weight.
    freeze: [...own].filter((name) => graph.value(name)?.data).concat(task.freeze ?? []),
    optimizer: task.optimizer(),
    learningRate: task.learningRate,
    ...(task.clipNorm !== undefined && { clipNorm: task.clipNorm }),
    ...(task.updates && { updates: task.updates }),
    provider: backend,
    threads: 1,
  });
  const noisy = withNoise(task.batches(seed)(0), gates, {
    seed,
    speed: gateSpeed,
    lambda: (step) => lambda * Math.min(1, task.penaltyRamp ? step / (task.penaltyRamp * task.steps) : 1),
  });
  let trained: Graph;
  try {
    await trainer.fit(noisy, { steps: task.steps });
    ({ graph: trained } = await trainer.fold());
  } finally {
    await trainer.dispose();
  }
  for (const value of gated.initializers) {
    if (own.has(value.name)) continue; // a gate, or what spreads it
    const learnedData = trained.value(value.name)?.data;
    if (!learnedData)
      throw new DgateError("CHECK", `hard concrete: "${value.name}" is not in the trained model.`);
    gated.setData(value, learnedData);
  }
  const learned = Object.fromEntries(
    gates.map(({ gate, location }) => [
      gate,
      Array.from(readNumbers(trained.value(location)!.data!), (x) => atLocation(gateSpeed * x)),
    ]),
  );
  const { graph: folded, groups } = foldGates(gated, { gates: learned });
  const { plan, decisions } = planDeadGroups(findSites(folded), { groups, relative: 0 });
  return {
    strength: lambda,
    graph: prune(folded, plan).graph,
    gatedScore: await task.score(folded),
    near: decisions.reduce((sum, { near }) => sum + near, 0),
    kept: Object.fromEntries(
      decisions.flatMap(({ sites, kept }) => sites.map((site) => [site, kept] as const)),
    ),
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The gate without noise. */
const atLocation = (x: number): number => Math.min(1, Math.max(0, sigmoid(x) * (high - low) + low));

/** A gate of the dense layout, and what stands in its place. */
interface HardGate {
  readonly gate: string;
  readonly location: string;
  readonly noise: string;
  readonly groups: number;
}

/**
 * Puts `z = clip(σ((noise + location)/β)·(ζ − γ) + γ, 0, 1)` in the place of the gates of a gated model. What is learned is the location divided by `speed`:
 * Adam moves it so many times faster, SGD the square of that.
 */
function withHardConcrete(
  gated: Graph,
  speed: number,
): { readonly graph: Graph; readonly gates: readonly HardGate[] } {
  const graph = gated.clone();
  const metadata = new Map(graph.info.metadata);
  metadata.delete("dgate.gates"); // from here on it is a model like any other
  graph.info = { ...graph.info, metadata };
  const ops = graphOps(graph, { scope: "hard_concrete" });
  /** A node of which the output is as its first input. */
  const node = (op: string, ...inputs: [Value, ...Value[]]): Value => {
    const value = graph.addNode({ op, inputs }).outputs[0]!;
    value.type = inputs[0].type;
    return value;
  };
  const open: Value[] = [];
  const gates = graph.inputs
    .filter(({ name, data }) => data && name.endsWith(".gate.1"))
    .map((gate): HardGate => {
      const groups = gate.data!.shape[0]!;
      const start = new Float32Array(groups).fill(Math.log((1 - dropRate) / dropRate) / speed);
      const location = graph.addInitializer(`${gate.name}.location`, tensorOf("float32", [groups], start));
      const noise = graph.addInput(`${gate.name}.noise`, { dtype: "float32", shape: [groups] });
      const drawn = node("Sigmoid", ops.mul(ops.add(location, noise), ops.scalar(speed / temperature)));
      const stretched = ops.add(ops.mul(drawn, ops.scalar(high - low)), ops.scalar(low));
      graph.replaceUses(gate, node("Clip", stretched, ops.scalar(0), ops.scalar(1)));
      graph.removeInitializer(gate);
      const border = ops.scalar((temperature * Math.log(-low / high)) / speed);
      open.push(ops.sum(node("Sigmoid", ops.mul(ops.sub(location, border), ops.scalar(speed)))));
      return { gate: gate.name, location: location.name, noise: noise.name, groups };
    });
  const total = open.reduce((a, b) => ops.add(a, b));
  graph.rename(total, openness);
  graph.addOutput(total);
  return { graph, gates };
}

/** A loss of the model's own output, plus λ times the expected number of open gates. */
function withOpenness(loss: Loss, output: string): Loss {
  return {
    ...loss,
    emit(context) {
      const { ops } = context;
      const own = loss.emit({ ...context, output: (name) => context.output(name ?? output) });
      const open = context.output(openness);
      const lambda = context.input(weight, { dtype: "float32", shape: [] });
      return {
        ...own,
        loss: ops.add(own.loss, ops.mul(ops.reshape(open, []), lambda)),
        seeds: new Map(own.seeds).set(open, ops.expandLike(lambda, open)),
      };
    },
  };
}

/** Batches with λ, and logistic noise for each gate in the unit of what is learned: log u − log(1 − u), divided by the speed. */
function* withNoise(
  batches: Iterable<Batch>,
  gates: readonly HardGate[],
  {
    seed,
    speed,
    lambda,
  }: { readonly seed: number; readonly speed: number; readonly lambda: (step: number) => number },
): Generator<Batch> {
  const random = randomGenerator(seed + 7919);
  let step = 0;
  for (const batch of batches) {
    const noises = gates.map(({ noise, groups }) => {
      const data = Float32Array.from({ length: groups }, () => {
        const u = 1e-6 + (1 - 2e-6) * random.next();
        return (Math.log(u) - Math.log(1 - u)) / speed;
      });
      return [noise, { data, shape: [groups] }] as const;
    });
    yield {
      ...batch,
      ...Object.fromEntries(noises),
      [weight]: { data: Float32Array.of(lambda(step)), shape: [] },
    };
    step += 1;
  }
}
