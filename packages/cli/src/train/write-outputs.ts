import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../io/files.ts";
import { type Method, printDocument, type TrainDocument } from "./document.ts";

const model = "model.onnx";
const documentName = "report.json";
const page = "report.html";

/** Names of the files that a training leaves in its output folder. A dense network has no gates to report on. */
export const outputNames = (method: Method): readonly string[] =>
  method === "dense" ? [model, documentName] : [model, documentName, page];

/** Writes model and reports, each whole or not at all, the model last: where it is, the others are. */
export async function writeOutputs(
  document: TrainDocument,
  onnx: Uint8Array,
  folder: string | undefined,
): Promise<TrainDocument> {
  if (folder === undefined) return document;
  const files = outputNames(document.settings.method).map((name) => join(folder, name));
  const complete = { ...document, files };
  await mkdir(folder, { recursive: true });
  if (document.settings.method !== "dense") {
    // The plotting library is large: it is loaded when there is something to plot.
    const { reportPage } = await import("../report/page.ts");
    await writeWhole(join(folder, page), reportPage({ runs: [complete] }));
  }
  await writeWhole(join(folder, documentName), printDocument(complete));
  await writeWhole(join(folder, model), onnx);
  return complete;
}
