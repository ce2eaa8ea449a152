import { randomGenerator } from "@dgate/core";
import type { EpochRecord, SiteSummary, TrainDocument } from "../src/train/document.ts";

const normsAt = (decay: readonly number[], epoch: number) => decay.map((speed) => Math.exp(-speed * epoch));

/** A made-up train document of the right form, for tests of the report: 60 neurons and 16 pixels, some of which die. */
export function sampleRun(depth: number, changes: Partial<TrainDocument> = {}): TrainDocument {
  const random = randomGenerator(depth);
  const speeds = (groups: number) =>
    Array.from({ length: groups }, (_, i) => (i % 3 === 0 ? 0.02 : 0.5) * (1 + random.next()));
  const kinds = [
    { site: "hidden1.neurons", kind: "neurons", decay: speeds(60) },
    { site: "hidden1.inputs", kind: "inputs", decay: speeds(16) },
  ];
  const epochs = 20;
  const history = Array.from(
    { length: epochs + 1 },
    (_, epoch): EpochRecord => ({
      epoch,
      time: 90 * epoch,
      lambdaTime: 90 * 2e-3 * epoch,
      loss: epoch === 0 ? null : 0.1 + 2 * Math.exp(-epoch / 3),
      accuracy: 0.1 + 0.86 * (1 - Math.exp(-epoch / 2)),
      sites: kinds.map(({ site, decay }) => {
        const norms = normsAt(decay, epoch);
        const gap = Math.exp((-8 * 2e-3 * 90 * epoch) / depth) + 1e-7;
        const imbalance = Math.exp((-4 * 2e-3 * 90 * epoch) / depth) + 1e-4;
        return {
          site,
          active: norms.filter((norm) => norm > 0.01).length,
          smooth: 1 + gap,
          sparse: 1,
          gap,
          imbalance: imbalance + 0.5,
          medianImbalance: imbalance,
          norms,
        };
      }),
    }),
  );
  const sites = kinds.map(({ site, kind, decay }): SiteSummary => {
    const norms = normsAt(decay, epochs);
    const threshold = 0.01 * Math.max(...norms);
    return {
      site,
      kind,
      groups: norms.length,
      kept: norms.filter((n) => n > threshold).length,
      near: 1,
      threshold,
      norms,
    };
  });
  const keptPixels = sites[1]!.norms.flatMap((norm, i) => (norm > sites[1]!.threshold ? [i] : []));
  const active = sites[0]!.kept + sites[1]!.kept;
  return {
    accuracy: { dense: 0.97, gated: 0.965, pruned: 0.964 - 0.002 * depth },
    groups: { total: 76, active },
    parameters: 60_000 / depth,
    macs: 59_000 / depth,
    depth,
    lambda: 2e-3,
    files: [`runs/sample/d${depth}/model.onnx`],
    maxAbsDiff: 1.2e-6,
    metric: "accuracy",
    settings: {
      data: "digits",
      target: null,
      arch: "lenet-300-100",
      method: "dgate",
      depth,
      lambda: 2e-3,
      lambdaSchedule: "constant",
      sites: ["neurons", "inputs"],
      epochs,
      batch: 128,
      lr: 0.1,
      momentum: 0.9,
      optimizer: "sgd",
      warmup: 1,
      initialisation: "ones",
      threshold: 0.01,
      seed: 1,
      trainSize: 12_000,
      testSize: 4_000,
    },
    backend: "wasm",
    backendDetails: "backend wasm (WebAssembly)",
    seconds: 30,
    before: { parameters: 266_610, macs: 266_200, bytes: 1_067_000 },
    after: { parameters: 60_000 / depth, macs: 59_000 / depth, bytes: 240_000 / depth },
    sites,
    inputs: { total: 16, kept: keptPixels, names: null, image: [4, 4] },
    history,
    latency: {
      runtime: "onnxruntime-web",
      batch: 32,
      dense: { medianMs: 0.61, p95Ms: 0.7 },
      pruned: { medianMs: 0.61 / (2 * depth), p95Ms: 0.2 },
      speedup: 2 * depth,
    },
    warnings: [],
    ...changes,
  };
}
