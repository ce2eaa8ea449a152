export { DgateError, type DgateErrorCode } from "@dgate/core";
export type { RunnerValue } from "./runtime/open-runner.ts";
export type {
  OrtModule,
  OrtSession,
  OrtSessionOptions,
  OrtTensor,
  OrtValueInfo,
} from "./runtime/ort-module.ts";
export { constantOf, type Feed, numbersOf, type RunData, type RunTensor } from "./runtime/run-tensor.ts";
export type { Progress } from "./web/download.ts";
export type { FetchOptions } from "./web/fetch-model.ts";
export type { LatencyStats } from "./web/latency.ts";
export {
  load,
  type LoadOptions,
  type Provider,
  type WebModel,
  webgpuObstacle,
} from "./web/load.ts";
