export { type ModelFile, openModelFile, type ReadFileOptions, readModelFile } from "./io/read-file.ts";
export type { ExternalFile } from "./io/external-files.ts";
export {
  externalDataPath,
  writeModelFile,
  type WriteFileOptions,
  type WrittenModel,
} from "./io/write-file.ts";
export { readCheckpoint, writeCheckpoint } from "./train/checkpoint-files.ts";
