import { DgateError, type ProximalDepth, type TargetSparsityController } from "@dgate/core";
import { type FoldedGroups, foldGates } from "../gating/fold-gates.ts";
import { readGateRecord } from "../gating/gate-record.ts";
import { insertGates } from "../gating/insert-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { elementCount } from "../io/element-types.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { fingerprint } from "../prune/mask.ts";
import type { Batch } from "../recover/batches.ts";
import type { OrtSession } from "../runtime/ort-module.ts";
import { findSites } from "../sites/find-sites.ts";
import { dequantizeModel, hasCodes } from "../training-form/dequantize.ts";
import { BatchCheck } from "./check-batch.ts";
import { checkFitOptions, checkTrainerOptions } from "./check-options.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import { divergence } from "./diverged.ts";
import { type Engine, openEngine } from "./engine.ts";
import { findAgain } from "./find-again.ts";
import { carriedOutputs, GraphUpdates } from "./graph-updates.ts";
import { HostUpdates } from "./host-updates.ts";
import { groupNorms, type SetNorms, withLearned } from "./learned-model.ts";
import { checkWasmMemory, outOfMemory } from "./out-of-memory.ts";
import { peakBytes } from "./memory.ts";
import { adam, type Optimizer } from "./optimizer.ts";
import { pause } from "./pause.ts";
import { ProximalUpdate } from "./proximal-update.ts";
import { type PrunedModel, type PruneLearnedOptions, pruneLearned } from "./prune-learned.ts";
import { scheduled } from "./schedule.ts";
import { activeFraction, controllerOf, isTarget, looksAfter, missedTarget } from "./steering.ts";
import { type Teacher, openTeacher } from "./teacher.ts";
import type { FitOptions, FitReport, Trainer, TrainerOptions, TrainingBatches } from "./trainer-options.ts";
import { type TrainingGraph, trainingGraph } from "./training-graph.ts";
import { trainingNames } from "./training-names.ts";
import { untilAborted } from "./until-aborted.ts";
import { isSound, type StepNumbers, type StepResult, type Updates } from "./updates.ts";

/**
 * Makes a model ready for training on onnxruntime: gates the sites, writes forward pass, loss, penalty and backward pass as one graph, and
 * opens it. A quantized model is trained on its dequantized weights. A model that is gated already keeps its gates.
 *
 * Before the first step it computes what the dense model does.
 *
 * @throws DgateError `OPTION`, `NO_MATCH` if there is nothing to gate or the loss does not depend on it, `UNSUPPORTED` naming operator, node and
 * domain where there is no derivative, `MISSING_PACKAGE`
 */
export async function openTrainer(model: Graph, options: TrainerOptions): Promise<Trainer> {
  checkTrainerOptions(model, options);
  const dense = hasCodes(model) ? dequantizeModel(model) : model;
  const gated = readGateRecord(dense) ? gatedAlready(dense, options) : gate(dense, model, options);
  const engine = await openEngine(options);
  const {
    optimizer = adam(),
    clipNorm,
    groupWeights = "none",
    train = options.gate === "none" ? "all" : "groups",
    freeze = [],
    penalty = "smooth",
    depth = 2,
    updates = penalty === "proximal" ? "host" : "graph",
    loss,
  } = options;
  const how = { loss, train, freeze, groupWeights, penalty, depth, updates, optimizer, clipNorm };
  const training = trainingGraph(gated, how);
  const onDevice =
    updates === "graph" && engine.provider === "webgpu"
      ? [...carriedOutputs(training.parameters, optimizer).keys()]
      : [];
  const teacher = await openTeacher(engine, options.teacher ?? dense, training.teacher);
  let session: OrtSession | undefined;
  try {
    session = await engine.open(training.graph, onDevice);
    const state =
      updates === "graph"
        ? new GraphUpdates(engine, session, training.parameters, optimizer)
        : new HostUpdates(engine.ort, session, training.parameters, optimizer, {
            clipNorm,
            // checkTrainerOptions has seen to it that there is a closed form.
            proximal:
              penalty === "proximal"
                ? new ProximalUpdate(training.sets, depth as ProximalDepth, optimizer)
                : undefined,
          });
    return new OnnxTrainer({ engine, gated, training, state, teacher, optimizer, options });
  } catch (error) {
    await session?.release();
    await teacher?.dispose();
    throw error;
  }
}

/** Inserts the gates; sites of a quantized model are found again by name. */
function gate(dense: Graph, model: Graph, options: TrainerOptions): Graph {
  const { sites, depth = 2, train = "groups", roles, penalty = "smooth" } = options;
  if (!Number.isSafeInteger(depth) || depth < 2) {
    throw new DgateError(
      "OPTION",
      `train: depth is ${depth}, expected a whole number of at least 2 (2 is the group lasso).`,
    );
  }
  if (options.gate === "none") {
    const plain = normalise(dense);
    denormalise(plain);
    return plain;
  }
  const chosen = { ...(options.gate && { sites: options.gate }), ...(roles && { roles }) };
  const own = !sites ? findSites(dense) : dense === model ? sites : findAgain(dense, sites);
  if (penalty !== "smooth") return insertGates(dense, own, { ...chosen, depth: 2, initial: "ones" });
  return insertGates(dense, own, {
    ...chosen,
    depth: train === "gates" ? depth + 1 : depth,
    initial: options.initial ?? (train === "gates" ? "ones" : "balanced"),
  });
}

/** A model that came with gates, which stay. */
function gatedAlready(model: Graph, { gate: wanted, penalty = "smooth" }: TrainerOptions): Graph {
  if (wanted !== "none" && penalty === "smooth") return model;
  throw new DgateError(
    "OPTION",
    `train: the model has gates, which ${wanted === "none" ? 'gate "none"' : `penalty "${penalty}"`} cannot train; fold them first, with foldGates.`,
  );
}

interface TrainerParts {
  readonly engine: Engine;
  readonly gated: Graph;
  readonly training: TrainingGraph;
  readonly state: Updates;
  readonly teacher: Teacher | undefined;
  readonly optimizer: Optimizer;
  readonly options: TrainerOptions;
}

class OnnxTrainer implements Trainer {
  readonly #parts: TrainerParts;
  readonly #check: BatchCheck;
  readonly #controller: TargetSparsityController | undefined;
  readonly #initial: readonly SetNorms[];
  #phase: "idle" | "running" | "disposed" = "idle";
  #step = 0;
  #active: number | undefined;
  #last: StepResult | undefined;
  #memory = { key: "", bytes: 0 };
  /** Estimates of the sizes seen so far. */
  readonly #estimates = new Map<string, number>();

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    const { engine, training, gated, teacher, options } = parts;
    const taught = new Set(
      training.batchInputs.map(({ name }) => name).filter((name) => teacher?.gives.has(name)),
    );
    const inputs = new Set(gated.requiredInputs.map(({ name }) => name));
    this.#check = new BatchCheck(engine.ort, training, taught, inputs);
    this.#controller = controllerOf(options.lambda);
    this.#initial = groupNorms(gated, new Map());
  }

  get provider(): Engine["provider"] {
    return this.#parts.engine.provider;
  }

  get updates(): "graph" | "host" {
    return this.#parts.state.kind;
  }

  get step(): number {
    return this.#step;
  }

  get parameters(): TrainingGraph["parameters"] {
    return this.#parts.training.parameters;
  }

  get graph(): Graph {
    return this.#parts.training.graph;
  }

  get inputs(): Trainer["inputs"] {
    const { training, teacher } = this.#parts;
    return training.batchInputs
      .filter(({ name }) => !teacher?.gives.has(name))
      .map(({ name, type }) => ({ name, dtype: type?.dtype ?? "float32", shape: type?.shape }));
  }

  async fit(batches: TrainingBatches, options: FitOptions = {}): Promise<FitReport> {
    checkFitOptions(options);
    if (this.#phase !== "idle") {
      const why =
        this.#phase === "disposed"
          ? "the trainer is disposed; open a new one"
          : "fit is running; wait for its end";
      throw new DgateError("OPTION", `train: ${why}.`);
    }
    this.#phase = "running";
    try {
      return await this.#fit(batches, options);
    } finally {
      if (this.#phase === "running") this.#phase = "idle";
    }
  }

  async #fit(batches: TrainingBatches, options: FitOptions): Promise<FitReport> {
    const { steps, signal, onProgress, checkpoint } = options;
    const losses: number[] = [];
    const penalties: number[] = [];
    let [spent, memoryBytes] = [0, 0];
    let yielded = performance.now();
    const source = typeof batches === "function" ? batches(this.#step) : batches;
    if (steps === undefined || this.#step < steps) {
      for await (const batch of untilAborted(source, signal)) {
        await this.#stopIfAborted(options);
        const numbers = this.#numbers(steps);
        const start = performance.now();
        const result = await this.#runStep(batch, numbers);
        const stepMs = performance.now() - start;
        spent += stepMs;
        losses.push(result.loss);
        penalties.push(result.penalty);
        memoryBytes = Math.max(memoryBytes, this.#memory.bytes);
        const active = this.#active === undefined ? {} : { active: this.#active };
        onProgress?.({ ...result, ...numbers, ...active, steps, stepMs, memoryBytes: this.#memory.bytes });
        if (checkpoint && this.#step % checkpoint.every === 0) await checkpoint.save(await this.save());
        if (this.#step >= (steps ?? Infinity)) break;
        if (performance.now() - yielded > 50) {
          await pause();
          yielded = performance.now();
        }
      }
      if (signal?.aborted) await this.#stopIfAborted(options);
      if (losses.length === 0) {
        throw new DgateError(
          "DATA",
          `train: there is no batch for step ${this.#step + 1}; give batches that are not used up, or a function that makes them anew.`,
        );
      }
    }
    return {
      steps: losses.length,
      losses: Float64Array.from(losses),
      penalties: Float64Array.from(penalties),
      meanStepMs: spent / Math.max(1, losses.length),
      memoryBytes,
    };
  }

  async norms(): Promise<SetNorms[]> {
    return groupNorms(this.#parts.gated, await this.#arrays());
  }

  async gated(): Promise<Graph> {
    return withLearned(this.#parts.gated, await this.#arrays());
  }

  async fold(): Promise<{ readonly graph: Graph; readonly groups: readonly FoldedGroups[] }> {
    const gated = await this.gated();
    return readGateRecord(gated) ? foldGates(gated) : { graph: gated, groups: [] };
  }

  async prune(options: PruneLearnedOptions = {}): Promise<PrunedModel> {
    const { verify = {} } = options;
    if (!readGateRecord(this.#parts.gated)) {
      throw new DgateError(
        "OPTION",
        'train: nothing is gated, so that no group can be removed; take fold(), or train with gate other than "none".',
      );
    }
    const { ort, runtime, threads } = this.#parts.engine;
    const pruned = await pruneLearned(await this.gated(), this.#initial, {
      ...options,
      verify: verify === false ? false : { ort, runtime, threads, ...verify },
    });
    const missed = missedTarget(this.#parts.options.lambda, await this.norms(), this.#controller?.lambda);
    return missed === undefined ? pruned : { ...pruned, warnings: [...pruned.warnings, missed] };
  }

  async save(): Promise<Checkpoint> {
    const arrays = await this.#arrays();
    const shapes = new Map<string, readonly number[]>();
    const slots = this.#parts.optimizer.slots;
    for (const { name, shape } of this.parameters) {
      shapes.set(name, shape);
      for (let i = 0; i < slots; i++) shapes.set(trainingNames.slot(name, i), shape);
    }
    return encodeCheckpoint(arrays, shapes, {
      version: 1,
      step: this.#step,
      ...this.#identity(),
      controller: this.#controller?.state() ?? null,
    });
  }

  restore(checkpoint: Checkpoint): void {
    const sizes = new Map<string, number>();
    for (const { name, shape } of this.parameters) {
      sizes.set(name, elementCount(shape));
      for (let i = 0; i < this.#parts.optimizer.slots; i++)
        sizes.set(trainingNames.slot(name, i), elementCount(shape));
    }
    const expected = { ...this.#identity(), steered: this.#controller !== undefined };
    this.#checkOpen();
    const { state, arrays } = decodeCheckpoint(checkpoint, expected, sizes);
    if (state.controller) this.#controller?.restore(state.controller);
    this.#parts.state.write(arrays);
    this.#step = state.step;
    this.#last = undefined;
    this.#active = undefined;
  }

  async dispose(): Promise<void> {
    if (this.#phase === "disposed") return;
    this.#phase = "disposed";
    try {
      await this.#parts.state.dispose();
    } finally {
      await this.#parts.teacher?.dispose();
    }
  }

  #checkOpen(): void {
    if (this.#phase !== "disposed") return;
    throw new DgateError("OPTION", "train: the trainer is disposed; prune or save before dispose.");
  }

  async #arrays(): Promise<Map<string, Float32Array>> {
    this.#checkOpen();
    return this.#parts.state.read();
  }

  #identity() {
    const { gated, optimizer, options } = this.#parts;
    const { penalty = "smooth", depth = 2 } = options;
    return {
      fingerprint: fingerprint(gated),
      optimizer: { name: optimizer.name, config: optimizer.config },
      // The gates tell D where they are trained.
      ...(penalty !== "smooth" && { penalty: `${penalty}, D = ${depth}` }),
    };
  }

  async #stopIfAborted({ signal, checkpoint }: FitOptions): Promise<void> {
    if (!signal?.aborted) return;
    if (checkpoint) await checkpoint.save(await this.save());
    throw new DgateError("ABORTED", `train: cancelled after step ${this.#step}.`, { cause: signal.reason });
  }

  #numbers(steps: number | undefined): StepNumbers {
    const { lambda = 1e-4, learningRate = 1e-3, gateRate = learningRate } = this.#parts.options;
    for (const [name, schedule] of Object.entries({ lambda, learningRate, gateRate })) {
      if (typeof schedule === "function" && steps === undefined) {
        throw new DgateError(
          "OPTION",
          `train: ${name} is a schedule, which needs to know the end; give fit a number of steps.`,
        );
      }
    }
    const progress = steps === undefined ? 0 : this.#step / steps;
    return {
      step: this.#step + 1,
      // The controller is there where lambda is a target.
      lambda: isTarget(lambda) ? this.#controller!.lambda : scheduled("lambda", lambda, progress),
      learningRate: scheduled("learningRate", learningRate, progress),
      gateRate: scheduled("gateRate", gateRate, progress),
    };
  }

  /** Lets the controller of λ look at the groups. Before a checkpoint is taken, so that what it saw is in there. */
  async #steer(): Promise<void> {
    if (!looksAfter(this.#parts.options.lambda, this.#step)) return;
    this.#active = activeFraction(await this.norms());
    this.#controller!.update(this.#active); // there where λ is steered
  }

  async #runStep(batch: Batch, numbers: StepNumbers): Promise<StepResult> {
    const { state, teacher, engine } = this.#parts;
    const { tensors, dims } = this.#check.check(batch, `batch ${numbers.step - 1}`);
    this.#estimate(dims);
    let result: StepResult;
    try {
      const taught = teacher ? await teacher.run(batch) : {};
      result = await state.step({ ...tensors, ...taught }, numbers);
    } catch (cause) {
      throw outOfMemory(cause, engine, this.#memory.bytes, numbers.step);
    }
    if (!isSound(result)) throw divergence(result, numbers, this.#last);
    this.#last = result;
    this.#step += 1;
    await this.#steer();
    return result;
  }

  /** The memory that a step of these sizes takes. */
  #estimate(dims: Readonly<Record<string, number>>): void {
    const key = JSON.stringify(dims);
    if (key === this.#memory.key) return;
    const { training, state } = this.#parts;
    const bytes = this.#estimates.get(key) ?? peakBytes(training.graph, dims) + state.stateBytes;
    this.#estimates.set(key, bytes);
    // The state lies outside of WebAssembly too; the estimate of the graph has its copies.
    checkWasmMemory(this.provider, bytes - state.stateBytes, this.#step + 1);
    this.#memory = { key, bytes };
  }
}
