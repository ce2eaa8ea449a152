export { type ComparisonDocument, type TrainDocument, printDocument } from "./train/document.ts";
export { reportPage } from "./report/page.ts";
export { run, type RunOptions } from "./run.ts";
