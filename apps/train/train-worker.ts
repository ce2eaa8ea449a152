import { expose } from "comlink";
import type { OnBytes } from "../ui/counted.ts";
import { startOrt } from "../ui/ort-runtime.ts";
import { until } from "../ui/until.ts";
import { crossing } from "../ui/worker-errors.ts";
import { zipped } from "../ui/zipped.ts";
import { startTfjs } from "./tfjs-runtime.ts";
import type {
  Controls,
  Guess,
  OwnDigits,
  PrunedSummary,
  TrainingMoment,
  TrainingSettings,
} from "./training.ts";
import { TrainingSession } from "./training-session.ts";

/** What the page asks of the worker that trains. */
export type TrainWorker = typeof worker;

let session: TrainingSession | undefined;
/** What computes. */
let device = "";
let pruning = new AbortController();

const current = (): TrainingSession => {
  if (session) return session;
  throw new Error("unreachable: the page asks for a training before it began");
};

const worker = {
  /** @returns what computes, and why nothing faster does */
  begin: crossing(
    async (
      settings: TrainingSettings,
      controls: Controls,
      own: OwnDigits,
    ): Promise<{ readonly device: string; readonly not: readonly string[] }> => {
      const { backend, device: name, tried } = await startTfjs(settings.backend);
      device = `${backend} (${name})`;
      const last = session;
      session = undefined;
      await last?.dispose();
      session = new TrainingSession(settings, controls, own);
      const offered = tried.filter((each) => each.name === "webgpu" || each.name === "wasm");
      return {
        device,
        not: offered.map((each) => `${each.name}: ${each.reason}`),
      };
    },
  ),
  train: crossing(
    async (onMoment: (moment: TrainingMoment) => void): Promise<void> => current().train(onMoment),
  ),
  control: crossing(async (controls: Controls): Promise<void> => {
    current().controls = controls;
  }),
  prune: crossing(async (onBytes: OnBytes): Promise<PrunedSummary> => {
    pruning = new AbortController();
    const { signal } = pruning;
    return current().prune(await until(signal, startOrt("wasm", onBytes)), signal);
  }),
  /** Ends pruning at its next step; what was trained stays. */
  cancelPrune: crossing(async (): Promise<void> => pruning.abort()),
  guess: crossing(async (image: Float32Array): Promise<Guess> => current().deployed.guess(image)),
  onnx: crossing(async () => current().deployed.onnx),
  tfjsZip: crossing(async () => zipped(Object.entries(await current().deployed.tfjsFiles()))),
  report: crossing(async () => current().report(device)),
};

expose(worker);
