export { type Checkpoint, type CheckpointOptions, checkpoint, resume } from "./training/checkpoint.ts";
