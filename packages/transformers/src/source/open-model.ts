import { DgateError } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { Library, LibraryPipeline } from "../library/library.ts";
import { type SessionSlot, sessionSlots } from "../library/session-slots.ts";
import { type Dtype, preferredDtypes } from "./dtype.ts";
import { join, type ModelFiles } from "./model-files.ts";
import { openPipeline, type PipelineOptions } from "./open-pipeline.ts";
import { readConfig } from "./read-config.ts";
import { pathOf, readGraph } from "./read-graph.ts";
import { type TaskKind, taskOf } from "./task.ts";

/** One ONNX file of a model. */
export interface ModelPart {
  /** Name without dtype and ending: `model`, `encoder_model`, `decoder_model_merged`. */
  readonly file: string;
  /** Path in the model: `onnx/model_quantized.onnx`. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly graph: Graph;
  /** The session of the pipeline that runs it. */
  readonly slot: SessionSlot;
}

/** A model of transformers.js, opened, with its graphs. */
export interface OpenedModel {
  readonly files: ModelFiles;
  readonly config: Readonly<Record<string, unknown>>;
  readonly kind: TaskKind;
  readonly dtype: Dtype;
  readonly pipeline: LibraryPipeline;
  readonly parts: readonly ModelPart[];
  /** Reads an image from a path or URL into what the pipeline's processor takes. */
  readonly readImage?: (source: string | URL) => Promise<unknown>;
  /** Time that the library took to load the pipeline. */
  readonly loadMs: number;
}

/** What of a model is opened, and how. */
export interface OpenModelOptions extends Omit<PipelineOptions, "dtype"> {
  readonly dtype?: Dtype;
  readonly task?: string;
  /** A pipeline that is loaded already. */
  readonly pipeline?: LibraryPipeline;
}

/**
 * Opens a model: its configuration, its pipeline, and the ONNX files behind the pipeline's sessions.
 *
 * @throws DgateError `IO` naming all places that were tried, `FORMAT` for a file that is no JSON or ONNX, `CHECK` for a file that is not that of the
 * given pipeline
 */
export async function openModel(
  library: Library,
  files: ModelFiles,
  options: OpenModelOptions,
): Promise<OpenedModel> {
  const config = await readConfig("openHeadGates", files, `transformers.js ${library.version}`);
  const kind = taskOf(config, options.task ?? options.pipeline?.task, files.name);
  const dtype = options.dtype ?? (await bestDtype(files, options.modelFileName ?? mainFile(kind, library)));
  const modelFileName = options.modelFileName ?? (await decoderFile(library, files, kind, dtype));
  const opened = { ...options, dtype, ...(modelFileName !== undefined && { modelFileName }) };
  const start = performance.now();
  const pipeline =
    options.pipeline ??
    (await openPipeline(library, files, kind.task, opened).catch(async (error: unknown) => {
      // The file's own fault is told in place of what the runtime says of it.
      await readOnnx(files, modelFileName ?? mainFile(kind, library), dtype);
      throw error;
    }));
  const loadMs = performance.now() - start;
  const parts: ModelPart[] = [];
  try {
    for (const slot of sessionSlots(pipeline.model)) {
      const file =
        slot.file === "model" || slot.file === "decoder_model_merged"
          ? (modelFileName ?? slot.file)
          : slot.file;
      parts.push(await readPart(files, slot, file, dtype));
    }
  } catch (error) {
    if (!options.pipeline) await pipeline.dispose?.();
    throw error;
  }
  const { RawImage } = library.module;
  const readImage = async (source: string | URL): Promise<unknown> => RawImage?.read(source);
  return { files, config, kind, dtype, pipeline, parts, readImage, loadMs };
}

const mainFile = ({ output }: TaskKind, { major }: Library): string => {
  if (output === "seq2seq") return "encoder_model";
  return output === "language" && major === 2 ? "decoder_model_merged" : "model";
};

/** Version 2 wants decoders as `decoder_model_merged`; a folder that has `model` only is opened from that. */
async function decoderFile(
  { major }: Library,
  files: ModelFiles,
  { output }: TaskKind,
  dtype: Dtype,
): Promise<string | undefined> {
  if (output !== "language") return undefined;
  const names = major === 2 ? ["decoder_model_merged", "model"] : ["model", "decoder_model_merged"];
  for (const name of names) if (await files.has(pathOf(files, name, dtype))) return name;
  return undefined;
}

/** The first element type that there is a file of. */
async function bestDtype(files: ModelFiles, file: string): Promise<Dtype> {
  const tried: string[] = [];
  for (const dtype of preferredDtypes) {
    for (const name of file === "encoder_model" ? [file] : [file, "model", "decoder_model_merged"]) {
      const path = pathOf(files, name, dtype);
      if (await files.has(path)) return dtype;
      tried.push(path);
    }
  }
  throw new DgateError(
    "IO",
    `openHeadGates: "${files.name}" has no ONNX file; tried ${[...new Set(tried)].slice(0, 4).join(", ")} … in ${files.places("").join(", ")}.`,
  );
}

async function readPart(
  files: ModelFiles,
  slot: SessionSlot,
  file: string,
  dtype: Dtype,
): Promise<ModelPart> {
  const read = await readOnnx(files, file, dtype);
  checkFits(files, read.path, read.graph, slot);
  return { file, ...read, slot };
}

async function readOnnx(
  files: ModelFiles,
  file: string,
  dtype: Dtype,
): Promise<Pick<ModelPart, "path" | "sizeBytes" | "graph">> {
  const path = pathOf(files, file, dtype);
  const bytes = await files.read(path);
  if (!bytes) {
    const others: Dtype[] = [];
    for (const other of preferredDtypes) {
      if (await files.has(pathOf(files, file, other))) others.push(other);
    }
    throw new DgateError(
      "IO",
      `openHeadGates: "${files.name}" has no ${path}; tried ${files.places(path).join(", ")}. ` +
        (others.length > 0
          ? `There is ${others.join(", ")}: { dtype: "${others[0]}" }, say.`
          : "Name its subfolder or modelFileName."),
    );
  }
  const { graph, externalBytes } = await readGraph(files, path, bytes);
  return { path, sizeBytes: bytes.length + externalBytes, graph };
}

/** A pipeline that is loaded already tells no file: its inputs and outputs must be those of the file. */
function checkFits(files: ModelFiles, path: string, graph: Graph, slot: SessionSlot): void {
  const session = slot.get();
  const sides = [
    ["inputs", graph.requiredInputs.map(({ name }) => name), session.inputNames],
    ["outputs", graph.outputs.map(({ name }) => name), session.outputNames],
  ] as const;
  for (const [side, own, wanted] of sides) {
    if ([...own].sort().join() === [...wanted].sort().join()) continue;
    throw new DgateError(
      "CHECK",
      `openHeadGates: ${join(files.name, path)} is not the file of the pipeline: its ${side} are ${own.join(", ")}, those of the pipeline ${wanted.join(", ")}. ` +
        "Name the model that the pipeline was opened from.",
    );
  }
}
