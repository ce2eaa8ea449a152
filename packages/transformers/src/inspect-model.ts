import { DgateError } from "@dgate/core";
import { dequantizeModel, type Graph, hasCodes } from "@dgate/onnx";
import type { BlockFinding, GatedBlock } from "./blocks/block.ts";
import { findBlocks } from "./blocks/find-blocks.ts";
import { checkKnown, type KnownOptions } from "./known-options.ts";
import { findLibrary } from "./library/library.ts";
import { dimsOf } from "./prune/dims.ts";
import { checkDtype, type Dtype, preferredDtypes } from "./source/dtype.ts";
import { type FilesOptions, isModelId, join, type ModelFiles, modelFiles } from "./source/model-files.ts";
import { readConfig } from "./source/read-config.ts";
import { pathOf, readGraph } from "./source/read-graph.ts";
import { taskOf } from "./source/task.ts";

/** Options of `inspectModel`. */
export interface InspectOptions extends FilesOptions {
  /** Which of the model's files are read; by default the least quantized that there are. */
  readonly dtype?: Dtype;
  /** Whether `name` is a folder: then transformers.js need not be installed. By default a path that does not look like an id is one. */
  readonly folder?: boolean;
  /** The module of transformers.js, if it is not installed under its own name. */
  readonly transformers?: unknown;
  /** Sizes of open dimensions, for `dims` of the files. */
  readonly dims?: Readonly<Record<string, number>>;
}

/** One ONNX file of a model, looked at. */
export interface InspectedFile {
  /** Name without dtype and ending: `model`, `encoder_model`, `decoder_model_merged`. */
  readonly file: string;
  /** Path in the model: `onnx/model_quantized.onnx`. */
  readonly path: string;
  /** Bytes of the file and of its external data. */
  readonly sizeBytes: number;
  readonly graph: Graph;
  /** Sizes of the open dimensions that multiply–adds are counted with: those that were given, else one example of 128 tokens. */
  readonly dims: Readonly<Record<string, number>>;
  /** Whether the file holds integer codes in place of weights. */
  readonly quantized: boolean;
  /** Attention heads, feed-forward neurons and residual branches that can be gated. */
  readonly blocks: readonly GatedBlock[];
  /** What was found at every place, or why nothing of it can be removed. */
  readonly findings: readonly BlockFinding[];
}

/** A model of transformers.js, looked at. */
export interface InspectedModel {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Task of its pipeline, where its architecture tells. */
  readonly task: string | undefined;
  readonly dtype: Dtype;
  /** The files that a pipeline opens. */
  readonly files: readonly InspectedFile[];
}

const knownOptions: KnownOptions<InspectOptions> = {
  dtype: true,
  folder: true,
  transformers: true,
  dims: true,
  revision: true,
  cacheDir: true,
  localFilesOnly: true,
  subfolder: true,
};

/** ONNX files that make a model together. */
const layouts: readonly (readonly string[])[] = [
  ["model"],
  ["decoder_model_merged"],
  ["encoder_model", "decoder_model_merged"],
  ["encoder_model", "decoder_model"],
  ["text_model", "vision_model"],
  ["vision_encoder", "embed_tokens", "decoder_model_merged"],
  ["decoder_model"],
  ["encoder_model"],
];

/**
 * Looks at a model of transformers.js without running it: its ONNX files and what of them can be gated. No onnxruntime is needed, and of a folder no
 * transformers.js either; an id is looked up by the rules of the library.
 *
 * @throws DgateError `IO` naming all places that were tried, `FORMAT` for malformed files, `MISSING_PACKAGE` for an id without transformers.js, `OPTION`
 */
export async function inspectModel(name: string, options: InspectOptions = {}): Promise<InspectedModel> {
  checkKnown("inspectModel", options, knownOptions);
  const { folder = !isModelId(name) } = options;
  const dtypes = options.dtype === undefined ? preferredDtypes : [checkDtype("inspectModel", options.dtype)];
  const library = folder ? undefined : await findLibrary(options.transformers);
  const files = modelFiles(library, name, options);
  const reader = library ? `transformers.js ${library.version}` : "this process";
  const config = await readConfig("inspectModel", files, reader);
  const { dtype, names } = await findLayout(files, dtypes, config);
  const found: InspectedFile[] = [];
  for (const file of names)
    found.push(await inspectFile(files, file, dtype, { config, dims: options.dims ?? {} }));
  return { name, config, task: knownTask(config, name), dtype, files: found };
}

/** The first of the usual sets of files that the model has, in the first element type. */
async function findLayout(
  files: ModelFiles,
  dtypes: readonly Dtype[],
  config: InspectedModel["config"],
): Promise<{ readonly dtype: Dtype; readonly names: readonly string[] }> {
  const several = config["is_encoder_decoder"] === true;
  const order = several ? layouts.toSorted((a, b) => b.length - a.length) : layouts;
  const known = new Map<string, boolean>();
  const has = async (path: string): Promise<boolean> => {
    const found = known.get(path) ?? (await files.has(path));
    known.set(path, found);
    return found;
  };
  for (const dtype of dtypes) {
    for (const names of order) {
      let whole = true;
      for (const file of names) whole = whole && (await has(pathOf(files, file, dtype)));
      if (whole) return { dtype, names };
    }
  }
  const tried = [...known.keys()].slice(0, 4).join(", ");
  const where = files.places("").join(", ");
  throw new DgateError(
    "IO",
    `inspectModel: "${files.name}" has no ONNX file; tried ${tried} … in ${where}. Is the path right, or is it in another subfolder?`,
  );
}

async function inspectFile(
  files: ModelFiles,
  file: string,
  dtype: Dtype,
  { config, dims }: { readonly config: InspectedModel["config"]; readonly dims: InspectedFile["dims"] },
): Promise<InspectedFile> {
  const path = pathOf(files, file, dtype);
  const bytes = await files.read(path);
  if (!bytes) throw new DgateError("IO", `inspectModel: ${join(files.name, path)} cannot be read.`);
  const { graph, externalBytes } = await readGraph(files, path, bytes);
  const quantized = hasCodes(graph);
  const { blocks, findings } = findBlocks(quantized ? dequantizeModel(graph) : graph, file);
  return {
    file,
    path,
    sizeBytes: bytes.length + externalBytes,
    graph,
    dims: dimsOf(graph, config, dims),
    quantized,
    blocks,
    findings,
  };
}

/** An architecture that is not known can be looked at all the same. */
function knownTask(config: InspectedModel["config"], name: string): string | undefined {
  try {
    return taskOf(config, undefined, name).task;
  } catch (error) {
    if (error instanceof DgateError) return undefined;
    throw error;
  }
}
