import {
  DgateError,
  findDeadGroups,
  type TargetSparsityController,
  type TargetSparsityOptions,
  targetSparsityController,
} from "@dgate/core";
import { type FoldedGroups, foldGates } from "../gating/fold-gates.ts";
import { readGateRecord } from "../gating/gate-record.ts";
import { type GateOptions, insertGates } from "../gating/insert-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { elementCount } from "../io/element-types.ts";
import { fingerprint } from "../prune/mask.ts";
import { isQuantized } from "../quantization/is-quantized.ts";
import type { Batch } from "../recover/batches.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";
import { dequantizeModel } from "../training-form/dequantize.ts";
import { BatchCheck } from "./check-batch.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import { divergence } from "./diverged.ts";
import { type Engine, type EngineOptions, openEngine } from "./engine.ts";
import { carriedOutputs, GraphUpdates } from "./graph-updates.ts";
import { HostUpdates } from "./host-updates.ts";
import { groupNorms, type SetNorms, withLearned } from "./learned-model.ts";
import type { Loss } from "./loss.ts";
import { checkWasmMemory, outOfMemory } from "./out-of-memory.ts";
import { peakBytes } from "./memory.ts";
import { adam, type Optimizer } from "./optimizer.ts";
import { pause } from "./pause.ts";
import { type PrunedModel, type PruneLearnedOptions, pruneLearned } from "./prune-learned.ts";
import { type Schedule, scheduled } from "./schedule.ts";
import { type Teacher, openTeacher } from "./teacher.ts";
import { type Trained, type TrainingGraph, trainingGraph, trainingNames } from "./training-graph.ts";
import { isSound, type StepNumbers, type StepResult, type Updates } from "./updates.ts";

/**
 * Steers λ to a fraction of active groups: see `targetSparsityController` of `@dgate/core`. A group takes many looks to die and does not come back,
 * so gain and look-ahead are gentler here than for looks once an epoch: 0.2 and 25 by default.
 */
export interface TargetSparsity extends TargetSparsityOptions {
  /** Steps between two looks at the groups (default 20). */
  readonly every?: number;
}

/** Options of `openTrainer`. */
export interface TrainerOptions extends EngineOptions, Pick<GateOptions, "roles"> {
  /** What is made small: `crossEntropy()`, `nextToken()`, `meanSquaredError()`, `distill()`, `outputLoss()`. */
  readonly loss: Loss;
  /** Sites of the model, from `findSites`; by default all that it has. */
  readonly sites?: readonly Site[];
  /** Which of them to gate, by name or kind; by default those that `insertGates` takes. */
  readonly gate?: GateOptions["sites"];
  /**
   * D (default 2, the group lasso): the groups are penalised by λ·‖w_j‖^{2/D}. Where weights are trained each group gets D − 1 gates; where the
   * gates alone are, D of them, for the frozen weight is no factor.
   */
  readonly depth?: number;
  /** λ, a schedule over the progress of `fit`, or a target that λ is steered to (default 1e-4). */
  readonly lambda?: Schedule | TargetSparsity;
  /** `gates`: all weights are frozen. `groups` (default): gates and the weights that are in groups. `all`: every weight. */
  readonly train?: Trained;
  /** How gates start (default `balanced`; where the weights are frozen `ones`): see `insertGates`. */
  readonly initial?: GateOptions["initial"];
  /** Weights s_j of the penalty: 1 (default) or √p_j. */
  readonly groupWeights?: "none" | "sqrt-size";
  /** `sgd()`, `adam()` (default) or `adamw()`. */
  readonly optimizer?: Optimizer;
  /** Learning rate, or a schedule over the progress of `fit` (default 1e-3). */
  readonly learningRate?: Schedule;
  /** Learning rate of the gates; by default that of the weights. */
  readonly gateRate?: Schedule;
  /** Largest norm of the whole gradient; longer ones are scaled down to it. */
  readonly clipNorm?: number;
  /**
   * Where the optimiser's updates are computed: `graph` (default), as nodes of the training graph, so that parameters on a GPU never leave it;
   * or `host`, over typed arrays, which takes less memory. In the graph was faster on every provider and with every optimiser in
   * `pnpm bench train-step` and `pnpm bench onnx-step`.
   */
  readonly updates?: "graph" | "host";
}

/** What `fit` tells after a step. */
export interface TrainingProgress extends StepResult {
  readonly step: number;
  /** Number of the last step, where it is known. */
  readonly steps: number | undefined;
  readonly lambda: number;
  readonly learningRate: number;
  readonly gateRate: number;
  /** Time of the step, the batch's own not counted. */
  readonly stepMs: number;
  /** Estimated peak of memory: parameters, optimiser, activations. */
  readonly memoryBytes: number;
  /** Fraction of groups that are alive, where a target is steered to. */
  readonly active?: number;
}

/** Batches in order; a function is told how many steps were done before, so that resumed training goes on with the right one. */
export type TrainingBatches =
  | Iterable<Batch>
  | AsyncIterable<Batch>
  | ((stepsDone: number) => Iterable<Batch> | AsyncIterable<Batch>);

/** Options of `fit`. */
export interface FitOptions {
  /** Number of the last step, counted over all calls; without it the batches decide, and schedules must be numbers. */
  readonly steps?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** Takes a checkpoint after every so many steps, and when training is cancelled. */
  readonly checkpoint?: {
    readonly every: number;
    readonly save: (checkpoint: Checkpoint) => Promise<void> | void;
  };
}

/** What a call of `fit` did. */
export interface FitReport {
  /** Steps done in this call. */
  readonly steps: number;
  /** Loss without penalty of each of them, in float64. */
  readonly losses: Float64Array;
  readonly penalties: Float64Array;
  readonly meanStepMs: number;
  /** Largest estimated memory of a step. */
  readonly memoryBytes: number;
}

/** A model in training. */
export interface Trainer {
  readonly provider: Engine["provider"];
  /** Where the updates are computed. */
  readonly updates: "graph" | "host";
  /** Steps done so far. */
  readonly step: number;
  /** What is trained: names, shapes and kinds. */
  readonly parameters: TrainingGraph["parameters"];
  /** The graph that is run for a step. */
  readonly graph: Graph;
  /** Inputs that a batch has to give, with their types. */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly unknown[] | undefined;
  }[];
  /**
   * Trains on batches until there are no more, or until `steps` are done.
   *
   * @throws DgateError `OPTION`, `SHAPE` or `DATA` for a batch that does not fit, naming it, `DATA` if there is none at all; `DIVERGED` with step, loss and likely cause if loss
   * or gradient is not finite (the parameters are those of the step before); `MEMORY` with the size needed; `ABORTED`
   */
  fit(batches: TrainingBatches, options?: FitOptions): Promise<FitReport>;
  /** ‖w_j‖ of every gate set. */
  norms(): Promise<SetNorms[]>;
  /** The gated model with what was learned. */
  gated(): Promise<Graph>;
  /** The model with the gates multiplied into the weights, and the groups' norms. */
  fold(): Promise<{ readonly graph: Graph; readonly groups: readonly FoldedGroups[] }>;
  /** Folds, removes what is dead and proves the result: see `PruneLearnedOptions`. The trainer itself goes on as it is. */
  prune(options?: PruneLearnedOptions): Promise<PrunedModel>;
  /** All that training needs to go on. */
  save(): Promise<Checkpoint>;
  /** Goes on from a checkpoint of the same model, options and optimiser, exactly. */
  restore(checkpoint: Checkpoint): void;
  /** Frees the runtime's memory. */
  dispose(): Promise<void>;
}

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
  const dense = isQuantized(model) ? dequantizeModel(model) : model;
  const gated = readGateRecord(dense) ? dense : gate(dense, model, options);
  const engine = await openEngine(options);
  const {
    optimizer = adam(),
    clipNorm,
    groupWeights = "none",
    train = "groups",
    updates = "graph",
    loss,
  } = options;
  const training = trainingGraph(gated, { loss, train, groupWeights, updates, optimizer, clipNorm });
  const onDevice =
    updates === "graph" && engine.provider === "webgpu"
      ? [...carriedOutputs(training.parameters, optimizer).keys()]
      : [];
  const teacher = await openTeacher(engine, dense, training.teacher);
  const session = await engine.open(training.graph, onDevice).catch(async (error: unknown) => {
    await teacher?.dispose();
    throw error;
  });
  const state =
    updates === "graph"
      ? new GraphUpdates(engine, session, training.parameters, optimizer)
      : new HostUpdates(engine.ort, session, training.parameters, optimizer, clipNorm);
  return new OnnxTrainer({ engine, gated, training, state, teacher, optimizer, options });
}

/** Inserts the gates; sites of a quantized model are found again by name. */
function gate(dense: Graph, model: Graph, options: TrainerOptions): Graph {
  const { sites, depth = 2, train = "groups", roles } = options;
  if (!Number.isSafeInteger(depth) || depth < 2) {
    throw new DgateError(
      "OPTION",
      `train: depth is ${depth}, expected a whole number of at least 2 (2 is the group lasso).`,
    );
  }
  const own = dense === model && sites ? sites : findSites(dense);
  const wanted = options.gate ?? (dense === model ? undefined : sites?.map(({ name }) => name));
  return insertGates(dense, own, {
    depth: train === "gates" ? depth + 1 : depth,
    initial: options.initial ?? (train === "gates" ? "ones" : "balanced"),
    ...(wanted && { sites: wanted }),
    ...(roles && { roles }),
  });
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
  #step = 0;
  #active: number | undefined;
  #last: StepResult | undefined;
  #memory = { key: "", bytes: 0 };

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    const { engine, training, gated, teacher, options } = parts;
    const taught = new Set(
      training.batchInputs.map(({ name }) => name).filter((name) => teacher?.gives.has(name)),
    );
    const inputs = new Set(gated.requiredInputs.map(({ name }) => name));
    this.#check = new BatchCheck(engine.ort, training, taught, inputs);
    this.#controller = isTarget(options.lambda)
      ? targetSparsityController({ ...gentle, ...options.lambda })
      : undefined;
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
    const { steps, signal, onProgress, checkpoint } = options;
    const losses: number[] = [];
    const penalties: number[] = [];
    let [spent, memoryBytes] = [0, 0];
    let yielded = performance.now();
    const source = typeof batches === "function" ? batches(this.#step) : batches;
    if (steps === undefined || this.#step < steps) {
      for await (const batch of source) {
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
    return groupNorms(this.#parts.gated, await this.#parts.state.read());
  }

  async gated(): Promise<Graph> {
    return withLearned(this.#parts.gated, await this.#parts.state.read());
  }

  async fold(): Promise<{ readonly graph: Graph; readonly groups: readonly FoldedGroups[] }> {
    return foldGates(await this.gated());
  }

  async prune(options: PruneLearnedOptions = {}): Promise<PrunedModel> {
    const { verify = {} } = options;
    const { ort, runtime, threads } = this.#parts.engine;
    return pruneLearned(await this.gated(), this.#initial, {
      ...options,
      verify: verify === false ? false : { ort, runtime, threads, ...verify },
    });
  }

  async save(): Promise<Checkpoint> {
    const arrays = await this.#parts.state.read();
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
    const { state, arrays } = decodeCheckpoint(checkpoint, expected, sizes);
    if (state.controller) this.#controller?.restore(state.controller);
    this.#parts.state.write(arrays);
    this.#step = state.step;
    this.#last = undefined;
    this.#active = undefined;
  }

  async dispose(): Promise<void> {
    await this.#parts.state.dispose();
    await this.#parts.teacher?.dispose();
  }

  #identity() {
    const { gated, optimizer } = this.#parts;
    return { fingerprint: fingerprint(gated), optimizer: { name: optimizer.name, config: optimizer.config } };
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
    const { lambda } = this.#parts.options;
    if (!isTarget(lambda) || this.#step % (lambda.every ?? 20) !== 0) return;
    const sets = await this.norms();
    const total = sets.reduce((sum, { norms }) => sum + norms.length, 0);
    const alive = sets.reduce((sum, { norms }) => {
      const { threshold } = findDeadGroups(norms);
      return sum + norms.filter((norm) => norm > threshold).length;
    }, 0);
    this.#active = alive / total;
    this.#controller!.update(this.#active);
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
    const bytes = peakBytes(training.graph, dims) + state.stateBytes;
    checkWasmMemory(this.provider, bytes, this.#step + 1);
    this.#memory = { key, bytes };
  }
}

/** Damping of the controller of λ for looks every few steps. */
const gentle = { gain: 0.2, lookahead: 25 };

const isTarget = (lambda: TrainerOptions["lambda"]): lambda is TargetSparsity => typeof lambda === "object";
