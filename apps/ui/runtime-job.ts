import { bytes } from "./format.ts";
import type { Job } from "./use-jobs.tsx";

/** How far the download of onnxruntime-web has come, in words. */
export const runtimeJob = (loaded: number, total: number | undefined): Job => ({
  text: `Fetching onnxruntime-web: ${bytes(loaded)}${total === undefined ? "" : ` of ${bytes(total)}`}`,
  part: total === undefined ? undefined : loaded / total,
});
