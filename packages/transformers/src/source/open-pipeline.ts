import { DgateError } from "@dgate/core";
import type { Library, LibraryPipeline } from "../library/library.ts";
import type { Dtype } from "./dtype.ts";
import { type FilesOptions, isPath, join, type ModelFiles } from "./model-files.ts";

/** What the loader of transformers.js is told. */
export interface PipelineOptions extends FilesOptions {
  readonly dtype: Dtype;
  /** More options for `pipeline()` of the library: `device`, `session_options`, `progress_callback` …. */
  readonly library?: Readonly<Record<string, unknown>>;
  /** Name of the ONNX file without dtype and ending, where it is not the library's own. */
  readonly modelFileName?: string;
}

/**
 * Opens a pipeline by the library's own loader.
 *
 * @throws DgateError `IO` with the library's reason and the places that were looked at, `UNSUPPORTED` for a dtype that version 2 has no files for
 */
export async function openPipeline(
  library: Library,
  files: ModelFiles,
  task: string,
  options: PipelineOptions,
): Promise<LibraryPipeline> {
  const { dtype, subfolder, revision, cacheDir, localFilesOnly, modelFileName } = options;
  if (library.major === 2 && dtype !== "fp32" && dtype !== "q8") {
    throw new DgateError(
      "UNSUPPORTED",
      `openHeadGates: transformers.js ${library.version} loads fp32 and q8 files only, not ${dtype}.`,
    );
  }
  const loader = {
    ...(library.major === 2 ? { quantized: dtype === "q8" } : { dtype }),
    ...(subfolder !== undefined && { subfolder }),
    ...(revision !== undefined && { revision }),
    ...(cacheDir !== undefined && { cache_dir: cacheDir }),
    ...(localFilesOnly !== undefined && { local_files_only: localFilesOnly }),
    ...(modelFileName !== undefined && { model_file_name: modelFileName }),
    ...options.library,
  };
  try {
    return await withFolder(library, files.name, (name) => library.module.pipeline(task, name, loader));
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n", 1)[0]!;
    throw new DgateError(
      "IO",
      `openHeadGates: transformers.js ${library.version} cannot open "${files.name}" as ${task} (${dtype}): ${reason}`,
      { cause },
    );
  }
}

/** Version 2 looks for a folder in its local model path alone: it is set to the folder's parent while the model loads. */
async function withFolder<T>(
  { module, major }: Library,
  name: string,
  load: (name: string) => Promise<T>,
): Promise<T> {
  const path = isPath(name) ? name.replace(/\/+$/, "") : undefined;
  if (major !== 2 || path === undefined) return load(name);
  const env = module.env as { -readonly [K in keyof typeof module.env]: (typeof module.env)[K] }; // its settings are there to be set
  const before = env.localModelPath;
  const cut = path.lastIndexOf("/");
  env.localModelPath = join(path.slice(0, cut + 1) || "./", "");
  try {
    return await load(path.slice(cut + 1));
  } finally {
    env.localModelPath = before;
  }
}
