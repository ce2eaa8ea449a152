export { DgateError, type DgateErrorCode } from "./errors.ts";
export type { TensorOps } from "./tensor-ops.ts";
