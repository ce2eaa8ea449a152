import { expose } from "comlink";
import type { OnBytes } from "../ui/counted.ts";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { startOrt, threadsOfPage } from "../ui/ort-runtime.ts";
import { until } from "../ui/until.ts";
import { crossing } from "../ui/worker-errors.ts";
import type { Measurement, ModelFacts, Place, PruneOutcome, PruneRequest } from "./deployment.ts";
import { demandWebGpu } from "./demand-webgpu.ts";
import { DeploySession } from "./deploy-session.ts";
import { exampleModel } from "./example-model.ts";

/** What the page asks of the worker that prunes and measures. */
export type DeployWorker = typeof worker;

const session = new DeploySession({ threads: threadsOfPage() });

let measuring = new AbortController();

const worker = {
  open: crossing(
    async (files: readonly DroppedFile[]): Promise<readonly ModelFacts[]> => session.open(files),
  ),
  example: crossing(
    async (): Promise<DroppedFile> => ({ path: "example.onnx", content: new Blob([exampleModel()]) }),
  ),
  prune: crossing(
    async (request: PruneRequest, onBytes: OnBytes): Promise<PruneOutcome> =>
      session.prune(request, await startOrt("wasm", onBytes)),
  ),
  measure: crossing(
    async (
      place: Place,
      pruned: Blob | undefined,
      onBytes: OnBytes,
      onProgress: (part: number) => void,
    ): Promise<Measurement> => {
      measuring = new AbortController();
      const { signal } = measuring;
      if (place === "webgpu") await demandWebGpu();
      const ort = await until(signal, startOrt(place, onBytes));
      return session.measure(place, pruned, ort, { signal, onProgress });
    },
  ),
  /** Ends a measurement between two runs. */
  cancel: crossing(async (): Promise<void> => measuring.abort()),
};

expose(worker);
