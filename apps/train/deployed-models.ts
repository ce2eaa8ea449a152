import { DgateError } from "@dgate/core";
import { countCosts, type Graph, openRunner, type Runner, verify, writeModel } from "@dgate/onnx";
import type { OrtModule } from "@dgate/onnx/web";
import { type Shrunk, toGraph } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { inTurns, median, quantile } from "../ui/in-turns.ts";
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

/**
 * Exports the networks, proves the pruned one equal to the masked one, and measures both.
 *
 * @throws DgateError `CHECK` if they differ
 */
export async function deploy(
  ort: OrtModule,
  plain: tf.LayersModel,
  { model, masked, report }: Shrunk,
  test: Rows,
  seed: number,
): Promise<DeployedModels> {
  const graphs = {
    dense: (await toGraph(plain)).graph,
    masked: (await toGraph(masked)).graph,
    pruned: (await toGraph(model, { select: report.inputs })).graph,
  };
  masked.dispose();
  const proof = await verify(graphs.masked, graphs.pruned, { ort, runtime: "web", tolerance: 1e-4, seed });
  if (!proof.equal) {
    model.dispose();
    throw new DgateError(
      "CHECK",
      `The pruned model differs from the masked one by ${proof.maxAbsDiff}. Please report it.`,
    );
  }
  const onnx = writeModel(graphs.pruned);
  const dense = await openRunner(writeModel(graphs.dense), { ort, runtime: "web" });
  const pruned = await openRunner(onnx, { ort, runtime: "web" });
  const shape = test.x.shape.slice(1);
  const images = (await test.x.data()) as Float32Array;
  const rows = images.slice(0, latencyRows * side * side);
  const times = await inTurns(
    [dense, pruned].map((runner) => () => logitsOf(runner, rows, shape)),
    { budgetMs: 4000, fewest: 10, most: 60 },
  );
  const latency = times.map((own) => ({ medianMs: median(own), p95Ms: quantile(own, 0.95) })) as [
    Latency,
    Latency,
  ];
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
    accuracy: accuracyOf(await logitsOf(pruned, images, shape), test.labels),
    latency,
    onnx,
    guess: async (image) => ({
      dense: softmax(await logitsOf(dense, image, shape)),
      pruned: softmax(await logitsOf(pruned, image, shape)),
    }),
    tfjsFiles: () => filesOf(model),
    async dispose() {
      await dense.dispose();
      await pruned.dispose();
      model.dispose();
    },
  };
}

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
  return Float32Array.from(results[output!.name]!.data as Float32Array);
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
