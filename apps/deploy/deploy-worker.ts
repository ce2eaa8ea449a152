import { expose } from "comlink";
import { type OnBytes, startOrt } from "../ui/ort-runtime.ts";
import { crossing } from "../ui/worker-errors.ts";
import type {
  DroppedFile,
  Measurement,
  ModelFacts,
  Place,
  PruneOutcome,
  PruneRequest,
} from "./deployment.ts";
import { DeploySession } from "./deploy-session.ts";
import { exampleModel } from "./example-model.ts";

/** What the page asks of the worker that prunes and measures. */
export type DeployWorker = typeof worker;

const session = new DeploySession();

const worker = {
  open: crossing(
    async (files: readonly DroppedFile[]): Promise<readonly ModelFacts[]> => session.open(files),
  ),
  example: crossing(async (): Promise<DroppedFile> => ({ name: "example.onnx", bytes: exampleModel() })),
  prune: crossing(
    async (request: PruneRequest, onBytes: OnBytes): Promise<PruneOutcome> =>
      session.prune(request, await startOrt("wasm", onBytes)),
  ),
  measure: crossing(
    async (place: Place, onBytes: OnBytes, onProgress: (part: number) => void): Promise<Measurement> =>
      session.measure(place, await startOrt(place, onBytes), onProgress),
  ),
  bytes: crossing(async () => session.bytes),
};

expose(worker);
