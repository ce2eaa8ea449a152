import { DgateError } from "@dgate/core";
import { countCosts, type Graph, numbersOf, openRunner, type Runner, verify, writeModel } from "@dgate/onnx";
import type { OrtModule } from "@dgate/onnx/web";
import { type Shrunk, toGraph } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { inTurns, median, quantile } from "../ui/in-turns.ts";
import { pause, stopIfAborted } from "../ui/until.ts";
import { accuracyOf } from "./accuracy.ts";
import { type Guess, type PrunedSummary, side } from "./training.ts";
import type { Rows } from "./training-session.ts";

const latencyRows = 32;

/** The dense and the pruned network in onnxruntime-web. */
export interface DeployedModels {
  /** What pruning did; the accuracies of tfjs's networks are the session's. */
  readonly summary: Omit<PrunedSummary, "accuracy">;
  readonly shrinkage: Shrunk["report"];
  /** Of the pruned model, on fresh digits. */
  readonly accuracy: number;
  /** Median and 95 % quantile of a run of 32 digits, in milliseconds. */
  readonly latency: readonly [dense: Latency, pruned: Latency];
  readonly onnx: Uint8Array<ArrayBuffer>;
  /** What both see in an image of 28 × 28 pixels. */
  readonly guess: (image: Float32Array) => Promise<Guess>;
  /** The pruned model as tfjs saves it: `model.json` and its weights. */
  readonly tfjsFiles: () => Promise<Readonly<Record<string, Uint8Array<ArrayBuffer>>>>;
  readonly dispose: () => Promise<void>;
}

interface Latency {
  readonly medianMs: number;
  readonly p95Ms: number;
}

interface DeployOptions {
  readonly seed: number;
  readonly signal: AbortSignal;
}

/**
 * Exports the networks, proves the pruned one equal to the masked one, and measures both.
 *
 * @param shrunk is taken over: what is not returned is disposed, all of it if this fails
 * @throws DgateError `CHECK` if they differ, `ABORTED` by the signal
 */
export async function deploy(
  ort: OrtModule,
  plain: tf.LayersModel,
  { model, masked, report }: Shrunk,
  test: Rows,
  { seed, signal }: DeployOptions,
): Promise<DeployedModels> {
  const runners: Runner[] = [];
  const dispose = async (): Promise<void> => {
    model.dispose();
    for (const runner of runners) await runner.dispose();
  };
  const open = async (bytes: Uint8Array): Promise<Runner> => {
    const runner = await openRunner(bytes, { ort, runtime: "web" });
    runners.push(runner);
    return runner;
  };
  const step = async (): Promise<void> => {
    await pause();
    stopIfAborted(signal);
  };
  try {
    await step();
    const graphs = {
      dense: (await toGraph(plain)).graph,
      masked: (await toGraph(masked)).graph,
      pruned: (await toGraph(model, { select: report.inputs })).graph,
    };
    await step();
    const proof = await verify(graphs.masked, graphs.pruned, {
      ort,
      runtime: "web",
      tolerance: 1e-4,
      seed,
      signal,
    });
    if (!proof.equal) {
      throw new DgateError(
        "CHECK",
        `The pruned model differs from the masked one by ${proof.maxAbsDiff}. Please report it.`,
      );
    }
    const onnx = writeModel(graphs.pruned);
    const dense = await open(writeModel(graphs.dense));
    const pruned = await open(onnx);
    const shape = test.x.shape.slice(1);
    const rows = test.images.slice(0, latencyRows * side * side);
    const times = await inTurns(
      [dense, pruned].map((runner) => () => logitsOf(runner, rows, shape)),
      { budgetMs: 4000, fewest: 10, most: 60, step },
    );
    const latency = [latencyOf(times[0]!), latencyOf(times[1]!)] as const;
    const [before, after] = [sizeOf(graphs.dense), sizeOf(graphs.pruned)];
    return {
      summary: {
        groups: {
          kept: report.sites.reduce((sum, { active }) => sum + active, 0),
          of: report.sites.reduce((sum, { groups }) => sum + groups, 0),
        },
        parameters: [before.parameters, after.parameters],
        macs: [before.macs, after.macs],
        bytes: [before.bytes, after.bytes],
        latencyMs: [latency[0].medianMs, latency[1].medianMs],
        maxAbsDiff: proof.maxAbsDiff,
        warnings: report.warnings,
      },
      shrinkage: report,
      accuracy: accuracyOf(await logitsOf(pruned, test.images, shape), test.labels),
      latency,
      onnx,
      guess: async (image) => ({
        dense: softmax(await logitsOf(dense, image, shape)),
        pruned: softmax(await logitsOf(pruned, image, shape)),
      }),
      tfjsFiles: () => filesOf(model),
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  } finally {
    masked.dispose();
  }
}

const latencyOf = (times: readonly number[]): Latency => ({
  medianMs: median(times),
  p95Ms: quantile(times, 0.95),
});

function sizeOf(graph: Graph): {
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
} {
  const { parameters, macs } = countCosts(graph);
  return { parameters, macs, bytes: writeModel(graph).length };
}

async function logitsOf(
  runner: Runner,
  images: Float32Array,
  shape: readonly number[],
): Promise<Float32Array> {
  const [input] = runner.inputs;
  const [output] = runner.outputs;
  const count = images.length / (side * side);
  const results = await runner.run({ [input!.name]: { data: images, shape: [count, ...shape] } });
  return Float32Array.from(numbersOf(results[output!.name]!));
}

function softmax(logits: Float32Array): Float32Array {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

async function filesOf(model: tf.LayersModel): Promise<Readonly<Record<string, Uint8Array<ArrayBuffer>>>> {
  let files: Record<string, Uint8Array<ArrayBuffer>> = {};
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      const { modelTopology, weightSpecs, format, generatedBy, convertedBy } = artifacts;
      const document = {
        modelTopology,
        format,
        generatedBy,
        convertedBy,
        weightsManifest: [{ paths: ["weights.bin"], weights: weightSpecs }],
      };
      files = {
        "model.json": new TextEncoder().encode(JSON.stringify(document)),
        "weights.bin": new Uint8Array(tf.io.CompositeArrayBuffer.join(artifacts.weightData)),
      };
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
    }),
  );
  return files;
}
