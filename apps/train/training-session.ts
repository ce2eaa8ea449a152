import { findDeadGroups, warmupStableDecay } from "@dgate/core";
import type { OrtModule } from "@dgate/onnx/web";
import {
  collapse,
  gate,
  gatedSites,
  groupNorms,
  holdThenCosine,
  lambdaSchedule,
  learningRateSchedule,
  nanGuard,
  setLambda,
  shrink,
  siteReports,
  train,
  type TrainingCallback,
  type TrainingPosition,
} from "@dgate/tfjs";
import { digits } from "@dgate/tfjs/data";
import * as tf from "@tensorflow/tfjs";
import { accuracyOf } from "./accuracy.ts";
import { deploy, type DeployedModels } from "./deployed-models.ts";
import { buildNetwork, rulesOf, shapeOf } from "./networks.ts";
import { type ControlChange, reportOf } from "./report.ts";
import {
  type Controls,
  deadFraction,
  type OwnDigits,
  type PrunedSummary,
  type SiteState,
  type TrainingMoment,
  type TrainingSettings,
} from "./training.ts";

/** At most so many fresh digits are scored; no more than are trained on. */
const mostTests = 1000;
const momentum = 0.9;
/** Part of the steps over which the rate rises. */
const warmup = 0.06;
/** Least time between two moments that are told. */
const momentMs = 300;

/** Tensors of labelled digits. */
export interface Rows {
  readonly images: Float32Array;
  /** The images as the network takes them. */
  readonly x: tf.Tensor;
  readonly y: tf.Tensor;
  readonly labels: Uint8Array;
}

/** A dense network and a gated one that are trained side by side on the same batches, and what pruning leaves of the gated one. */
export class TrainingSession {
  readonly #settings: TrainingSettings;
  readonly #training: Rows;
  readonly #test: Rows;
  readonly #dense: tf.LayersModel;
  readonly #moments: TrainingMoment[] = [];
  readonly #changes: ControlChange[] = [];
  #gated: tf.LayersModel;
  #controls: Controls;
  #deployed: DeployedModels | undefined;
  /** t = Σ rate / (1 − momentum) over the steps so far, and ∫ λ dt. */
  #flow = { time: 0, lambdaTime: 0 };
  #loss: number | undefined;

  constructor(settings: TrainingSettings, controls: Controls, own: OwnDigits) {
    this.#settings = settings;
    this.#controls = controls;
    const drawn = digits({ count: settings.examples, seed: settings.seed });
    this.#training = this.#rows(
      joined(Float32Array, drawn.images, own.images),
      joined(Uint8Array, drawn.labels, own.labels),
    );
    const fresh = digits({ count: Math.min(mostTests, settings.examples), seed: settings.seed + 1_000_000 });
    this.#test = this.#rows(fresh.images, fresh.labels);
    this.#dense = buildNetwork(settings.network, settings.seed);
    this.#gated = this.#gate(this.#dense, controls.depth);
    this.#compile(this.#dense);
  }

  /** Takes effect with the next step. */
  set controls(controls: Controls) {
    this.#controls = controls;
  }

  /**
   * Trains both networks, an epoch of one after an epoch of the other.
   *
   * @throws DgateError `DIVERGED`
   */
  async train(onMoment: (moment: TrainingMoment) => void): Promise<void> {
    const started = performance.now();
    const tell = async (epoch: number, whole: boolean): Promise<void> => {
      const seconds = (performance.now() - started) / 1000;
      const moment = await this.#moment(epoch, seconds, whole);
      if (whole) this.#moments.push(moment);
      onMoment(moment);
    };
    await tell(0, true);
    for (let epoch = 0; epoch < this.#settings.epochs; epoch++) {
      await this.#epoch(this.#dense, { epoch, batch: 0 }, []);
      let start: TrainingPosition | undefined = { epoch, batch: 0 };
      while (start) start = await this.#gatedPart(start, (at) => tell(at, false));
      await tell(epoch + 1, true);
    }
  }

  /**
   * Removes dead groups, proves and measures the result in onnxruntime-web. What was pruned before stays until that is done.
   *
   * @throws DgateError as `shrink`; `CHECK`; `ABORTED` by the signal
   */
  async prune(ort: OrtModule, signal = new AbortController().signal): Promise<PrunedSummary> {
    const { seed } = this.#settings;
    const shrunk = await shrink(this.#gated, { threshold: { relative: deadFraction }, seed });
    const deployed = await deploy(ort, this.#dense, shrunk, this.#test, { seed, signal });
    await this.#deployed?.dispose();
    this.#deployed = deployed;
    return {
      ...deployed.summary,
      accuracy: { ...this.#moments.at(-1)!.accuracy!, pruned: deployed.accuracy },
    };
  }

  /** What pruning left, for questions to it. */
  get deployed(): DeployedModels {
    if (this.#deployed) return this.#deployed;
    throw new Error("unreachable: the page asks for what is pruned before it is");
  }

  /** The page that `dgate train` writes of a training. */
  async report(backend: string): Promise<string> {
    return reportOf({
      settings: this.#settings,
      changes: this.#changes,
      recipe: { momentum, warmupEpochs: warmup * this.#settings.epochs },
      counts: [this.#training.labels.length, this.#test.labels.length],
      moments: this.#moments,
      deployed: this.deployed,
      backend,
    });
  }

  async dispose(): Promise<void> {
    await this.#deployed?.dispose();
    for (const model of [this.#dense, this.#gated]) disposeTrained(model);
    tf.dispose([this.#training.x, this.#training.y, this.#test.x, this.#test.y]);
  }

  #rows(images: Float32Array, labels: Uint8Array): Rows {
    return {
      images,
      x: tf.tensor(images, [labels.length, ...shapeOf(this.#settings.network)]),
      y: tf.tidy(() => tf.oneHot(tf.tensor1d(Int32Array.from(labels), "int32"), 10).toFloat()),
      labels,
    };
  }

  #gate(plain: tf.LayersModel, depth: number): tf.LayersModel {
    const gated = gate(plain, { depth, lambda: 0, rules: [...rulesOf(this.#settings.network)] });
    this.#compile(gated);
    return gated;
  }

  #compile(model: tf.LayersModel): void {
    model.compile({
      optimizer: tf.train.momentum(this.#settings.rate, momentum),
      loss: (labels: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(labels, logits),
    });
  }

  #rate = (progress: number): number => holdThenCosine(this.#settings.rate, { warmup })(progress);

  #lambda = (progress: number): number => warmupStableDecay(this.#controls.lambda)(progress);

  /** Trains a model from a position to the end of the epoch, or until it is told to stop; gives the mean loss. */
  async #epoch(
    model: tf.LayersModel,
    start: TrainingPosition,
    callbacks: readonly TrainingCallback[],
  ): Promise<number | undefined> {
    const { epochs, batch, seed } = this.#settings;
    const logs = await train(model, {
      ...this.#training,
      epochs,
      batchSize: batch,
      seed,
      start,
      callbacks: [
        learningRateSchedule(this.#rate),
        ...callbacks,
        nanGuard(),
        {
          onEpochEnd: () => {
            // The schedules are of the whole training; this call is for one epoch of it.
            model.stopTraining = true;
          },
        },
      ],
    });
    return logs.at(-1)?.["loss"];
  }

  /** Trains the gated network to the end of the epoch; where another D is wanted on the way, the position from which to go on. */
  async #gatedPart(
    start: TrainingPosition,
    tell: (epoch: number) => Promise<void>,
  ): Promise<TrainingPosition | undefined> {
    const { batch, epochs } = this.#settings;
    const batches = Math.ceil(this.#training.labels.length / batch);
    const model = this.#gated;
    const depth = depthOf(model);
    let told = performance.now();
    let next: TrainingPosition | undefined;
    const watch: TrainingCallback = {
      onBatchBegin: (step) => {
        const epoch = start.epoch + step / batches;
        const { lambda } = this.#controls;
        const last = this.#changes.at(-1);
        if (last?.depth !== depth || last.lambda !== lambda) this.#changes.push({ epoch, depth, lambda });
        const progress = epoch / epochs;
        const dt = this.#rate(progress) / (1 - momentum);
        this.#flow.time += dt;
        this.#flow.lambdaTime += dt * this.#lambda(progress);
      },
      onBatchEnd: async (step) => {
        if (this.#controls.depth !== depth && step + 1 < batches) {
          next = { epoch: start.epoch, batch: step + 1 };
          model.stopTraining = true;
        }
        if (performance.now() - told < momentMs) return;
        await tell(start.epoch + (step + 1) / batches);
        told = performance.now();
      },
    };
    this.#loss = (await this.#epoch(model, start, [lambdaSchedule(this.#lambda), watch])) ?? this.#loss;
    if (this.#controls.depth !== depth) {
      const plain = collapse(model);
      disposeTrained(model);
      this.#gated = this.#gate(plain, this.#controls.depth);
      plain.dispose();
    }
    return next;
  }

  async #moment(epoch: number, seconds: number, whole: boolean): Promise<TrainingMoment> {
    const model = this.#gated;
    const { lambda } = this.#controls;
    const now = gatedSites(model)[0]!.lambda;
    // Penalties are proportional to λ; told for the largest, they can be compared over the steps.
    setLambda(model, lambda);
    const reports = await siteReports(model);
    setLambda(model, now);
    const norms = await groupNorms(model);
    const sites = gatedSites(model).map(({ name, kind }, i): SiteState => {
      const { smooth, sparse, gap, imbalance, medianImbalance } = reports[i]!;
      const own = norms.get(name)!;
      return {
        site: name,
        kind,
        norms: Float32Array.from(own),
        active: findDeadGroups([...own], { relative: deadFraction, keepAtLeast: 0 }).kept.length,
        smooth,
        sparse,
        gap,
        imbalance,
        medianImbalance,
      };
    });
    return {
      epoch,
      seconds,
      depth: depthOf(model),
      lambda: this.#lambda(Math.min(1, epoch / this.#settings.epochs)),
      peakLambda: lambda,
      ...this.#flow,
      loss: epoch === 0 ? undefined : this.#loss,
      sites,
      accuracy: whole
        ? { dense: await this.#accuracy(this.#dense), gated: await this.#accuracy(model) }
        : undefined,
    };
  }

  async #accuracy(model: tf.LayersModel): Promise<number> {
    // Of a network with one output this is one tensor.
    const logits = tf.tidy(() => model.predict(this.#test.x) as tf.Tensor);
    const values = await logits.data();
    logits.dispose();
    return accuracyOf(values, this.#test.labels);
  }
}

/** tfjs disposes with a model only an optimizer that it has made itself: the momentum of ours would stay. */
function disposeTrained(model: tf.LayersModel): void {
  // The rate, which momentum forgets to dispose of. It is protected.
  const { optimizer } = model as { readonly optimizer: tf.Optimizer & { readonly c?: tf.Scalar } };
  model.dispose();
  optimizer.dispose();
  optimizer.c?.dispose();
}

/** Two arrays of one kind as one. */
function joined<T extends Float32Array | Uint8Array>(kind: new (length: number) => T, a: T, b: T): T {
  const both = new kind(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const depthOf = (model: tf.LayersModel): number => gatedSites(model)[0]!.depth;
