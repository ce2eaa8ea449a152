import { DgateError } from "@dgate/core";
import { countCosts, type Graph, openRunner, readModel, verify, writeModel } from "@dgate/onnx";
import { type Shrunk, toGraph } from "@dgate/tfjs";
import type * as tf from "@tensorflow/tfjs";
import type { KeptInputs, Latency, ModelSize, TrainDocument } from "./document.ts";
import { timeInterleaved } from "./latency.ts";
import { rawExamples, takeRawRows } from "./raw-rows.ts";
import { scoreRunner } from "./score.ts";
import type { Session } from "./session.ts";

/** Rows of one timed run. */
const BATCH = 32;
/** Largest difference between masked and pruned model, relative to the largest output. */
const TOLERANCE = 1e-4;

/** What is known after the pruned model ran in onnxruntime-web. */
export interface Deployed {
  readonly onnx: Uint8Array;
  readonly score: number;
  readonly fields: Pick<
    TrainDocument,
    "parameters" | "macs" | "maxAbsDiff" | "before" | "after" | "inputs" | "latency"
  >;
}

/**
 * Exports masked and small model, proves them equal in onnxruntime-web, scores the small one on the test set there and times both.
 *
 * @throws DgateError `CHECK` when the outputs differ
 */
export async function deploy(session: Session, { masked, model, report }: Shrunk): Promise<Deployed> {
  const { context, task, shape } = session;
  const select = report.inputs;
  const full = (await toGraph(masked)).graph;
  const small = (await toGraph(model, { select })).graph;
  const proof = await verify(full, small, {
    runtime: "web",
    tolerance: TOLERANCE,
    seed: session.request.seed,
  });
  if (!proof.equal) {
    throw new DgateError(
      "CHECK",
      `train: in onnxruntime-web the pruned model differs from the masked one by ${proof.maxAbsDiff} ` +
        `(tolerance ${TOLERANCE} of the output's scale); nothing was written. Please report it.`,
    );
  }
  // Only now: masked and small are compared as they were trained.
  if (task.scaling) await takeRawRows(model, task.scaling, select[0]?.kept);
  const onnx = task.scaling ? writeModel((await toGraph(model, { select })).graph) : writeModel(small);
  const [dense, pruned] = [
    await openRunner(writeModel(full), { runtime: "web" }),
    await openRunner(onnx, { runtime: "web" }),
  ];
  try {
    const test = rawExamples(task);
    const score = await scoreRunner(pruned, task, test, shape);
    const rows = Math.min(BATCH, test.count);
    const width = shape.reduce((a, b) => a * b, 1);
    const feed = { dtype: "float32", shape: [rows, ...shape], data: test.x.slice(0, rows * width) } as const;
    const figures = await timeInterleaved(
      [dense, pruned].map((runner) => ({ runner, feeds: { [runner.inputs[0]!.name]: feed } })),
      { signal: context.signal },
    );
    const after = sizeOf(readModel(onnx), onnx);
    return {
      onnx,
      score,
      fields: {
        parameters: after.parameters,
        macs: after.macs,
        maxAbsDiff: proof.maxAbsDiff,
        before: sizeOf(full, writeModel(full)),
        after,
        inputs: keptInputs(session, select[0]?.kept),
        latency: latencyOf(rows, figures),
      },
    };
  } finally {
    await dense.dispose();
    await pruned.dispose();
  }
}

/** Exports a plain model and scores it in onnxruntime-web. */
export async function deployDense(
  { task, shape }: Session,
  model: tf.LayersModel,
): Promise<{ readonly onnx: Uint8Array; readonly score: number; readonly size: ModelSize }> {
  if (task.scaling) await takeRawRows(model, task.scaling, undefined);
  const { graph } = await toGraph(model);
  const onnx = writeModel(graph);
  const runner = await openRunner(onnx, { runtime: "web" });
  try {
    return {
      onnx,
      score: await scoreRunner(runner, task, rawExamples(task), shape),
      size: sizeOf(graph, onnx),
    };
  } finally {
    await runner.dispose();
  }
}

function sizeOf(graph: Graph, file: Uint8Array): ModelSize {
  const { parameters, macs } = countCosts(graph);
  return { parameters, macs, bytes: file.length };
}

function latencyOf(batch: number, [dense, pruned]: readonly Latency["dense"][]): Latency {
  if (!dense || !pruned) throw new Error("unreachable: two models were timed");
  const speedup = Math.round((100 * dense.medianMs) / pruned.medianMs) / 100;
  return { runtime: "onnxruntime-web", batch, dense, pruned, speedup };
}

/** Which inputs the pruned model reads, if they were gated. */
function keptInputs(
  { task, shape, sites }: Session,
  selected: readonly number[] | undefined,
): KeptInputs | null {
  if (!sites.includes("inputs")) return null;
  const total = shape.reduce((a, b) => a * b, 1);
  const kept = selected ?? Array.from({ length: total }, (_, i) => i);
  const [height, width] = task.inputShape;
  return {
    total,
    kept,
    names: task.columns ? kept.map((column) => task.columns![column]!) : null,
    image: task.inputShape.length === 3 ? [height!, width!] : null,
  };
}
