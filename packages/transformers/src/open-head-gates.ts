import { DgateError } from "@dgate/core";
import type { RunnerOptions } from "@dgate/onnx";
import type { SiteGroup } from "./blocks/block.ts";
import { checkDistinct, gatedPart } from "./gates/gated-part.ts";
import { HeadGates } from "./head-gates.ts";
import { checkKnown, type KnownOptions } from "./known-options.ts";
import {
  findLibrary,
  type GivenModel,
  type GivenPipeline,
  type Library,
  type LibraryPipeline,
} from "./library/library.ts";
import { checkSameRuntime, runtimeOf } from "./library/runtime.ts";
import { sessionSlots } from "./library/session-slots.ts";
import { checkDtype, type Dtype } from "./source/dtype.ts";
import { type FilesOptions, modelFiles } from "./source/model-files.ts";
import { openModel, type OpenedModel } from "./source/open-model.ts";

/** Options of `openHeadGates`. */
export interface HeadGatesOptions extends FilesOptions {
  /**
   * D of D-Gating (default 3): groups are penalised by λ·‖w_j‖^{2/D}. 2 is the group lasso; more is sparser.
   */
  readonly depth?: number;
  /** What gets gates: attention heads (default), feed-forward neurons, whole residual branches. */
  readonly sites?: readonly SiteGroup[];
  /** Which of the model's files is opened, by the names of transformers.js; by default the least quantized that there is. */
  readonly dtype?: Dtype;
  /** Task of the pipeline, where the architecture does not tell it. */
  readonly task?: string;
  /** The module of transformers.js, if it is not installed under its own name. */
  readonly transformers?: unknown;
  /** Where a pipeline is given: the id or folder that it was opened from, for a session does not keep its file. */
  readonly model?: string;
  /** Threads of a run (default 1). */
  readonly threads?: number;
  /** Name of the ONNX file without dtype and ending, where it is not the library's own. */
  readonly modelFileName?: string;
  /** The onnxruntime to learn in; must be that of transformers.js, which is the default. */
  readonly ort?: RunnerOptions["ort"];
  /** More options for `pipeline()` of transformers.js: `device`, `session_options`, `progress_callback` …. */
  readonly library?: Readonly<Record<string, unknown>>;
}

const known: KnownOptions<HeadGatesOptions> = {
  depth: true,
  sites: true,
  dtype: true,
  task: true,
  transformers: true,
  model: true,
  threads: true,
  modelFileName: true,
  ort: true,
  library: true,
  revision: true,
  cacheDir: true,
  localFilesOnly: true,
  subfolder: true,
};

const groups: readonly string[] = ["heads", "ffn", "layers"] satisfies SiteGroup[];

/**
 * Opens a model of transformers.js, finds its attention heads (and, on request, feed-forward neurons and residual branches) and gives each
 * a gate. Opened by the library's own rules: an id through its cache, a folder, or a pipeline that is loaded already.
 *
 * @throws DgateError `MISSING_PACKAGE` if transformers.js is not installed, `IO` naming all places that were tried, `FORMAT` for malformed files,
 * `NO_MATCH` for a model in which there is nothing to gate (with what was found, and the operators around each Softmax), `OPTION`, `UNSUPPORTED`
 */
export async function openHeadGates(
  source: string | GivenPipeline | GivenModel,
  options: HeadGatesOptions = {},
): Promise<HeadGates> {
  const { depth = 3, sites = ["heads"], threads = 1, dtype } = options;
  checkKnown("openHeadGates", options, known);
  checkOptions(source, { depth, sites, threads });
  const library = await findLibrary(options.transformers);
  const { name, pipeline } = nameOf(source, options);
  if (pipeline) checkSameLibrary(library, pipeline);
  const files = modelFiles(library, name, options);
  const model = await openModel(library, files, {
    ...options,
    ...(dtype !== undefined && { dtype: checkDtype("openHeadGates", dtype) }),
    ...(pipeline && { pipeline }),
  });
  try {
    return await gatesOf(library, model, options);
  } catch (error) {
    if (!pipeline) await model.pipeline.dispose?.();
    throw error;
  }
}

/** The gates of an opened model. */
async function gatesOf(
  library: Library,
  model: OpenedModel,
  { depth = 3, sites = ["heads"], threads = 1, ort }: HeadGatesOptions,
): Promise<HeadGates> {
  const runtime = await runtimeOf(library, sessionSlots(model.pipeline.model)[0]!.get());
  if (ort) checkSameRuntime(runtime, ort);
  const parts = model.parts.map((part) => gatedPart(part, sites));
  checkDistinct(parts);
  const gates = new HeadGates({ library, runtime, model, parts, groups: sites, depth, threads });
  if (parts.some(({ live }) => live)) return gates;
  const found = gates.findings.filter(({ group }) => sites.includes(group));
  const why =
    found.length > 0
      ? found
          .slice(0, 3)
          .map(({ name: place, gated }) => `${place}: ${gated}`)
          .join("; ")
      : `it has no attention and no feed-forward layers that @dgate/transformers knows; try prune of @dgate/onnx`;
  throw new DgateError(
    "NO_MATCH",
    `openHeadGates: "${model.files.name}" has no ${sites.join(", ")} to gate: ${why}.`,
  );
}

function checkOptions(
  source: unknown,
  { depth, sites, threads }: Required<Pick<HeadGatesOptions, "depth" | "sites" | "threads">>,
): void {
  if (
    source === null ||
    (typeof source !== "string" && typeof source !== "object" && typeof source !== "function") ||
    source === ""
  ) {
    throw new DgateError(
      "OPTION",
      "openHeadGates: give the id of a model, the path of its folder, or a pipeline of transformers.js.",
    );
  }
  if (!Number.isSafeInteger(depth) || depth < 2) {
    throw new DgateError(
      "OPTION",
      `openHeadGates: depth is ${depth}, expected a whole number of at least 2.`,
    );
  }
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new DgateError(
      "OPTION",
      `openHeadGates: threads is ${threads}, expected a whole number of at least 1.`,
    );
  }
  const listed = Array.isArray(sites);
  const unknown = listed ? sites.find((site) => !groups.includes(site)) : undefined;
  if (!listed || sites.length === 0 || unknown !== undefined) {
    const what = listed ? (unknown === undefined ? "is empty" : `has "${unknown}"`) : "is no list";
    throw new DgateError(
      "OPTION",
      `openHeadGates: sites ${what}; expected some of ${groups.join(", ")}: ["heads"], say.`,
    );
  }
}

function nameOf(
  source: string | GivenPipeline | GivenModel,
  { model }: HeadGatesOptions,
): { readonly name: string; readonly pipeline?: LibraryPipeline } {
  if (typeof source === "string") return { name: source };
  if (model === undefined) {
    throw new DgateError(
      "OPTION",
      'openHeadGates: a session does not keep its file; say which model the pipeline is of: { model: "ID OR FOLDER" }.',
    );
  }
  if ("model" in source && "task" in source) return { name: model, pipeline: source as LibraryPipeline }; // its model's sessions are looked at one by one
  throw new DgateError(
    "OPTION",
    "openHeadGates: give the pipeline in place of its model, for its tokenizer is needed too; pipeline(…) makes one.",
  );
}

/** Version 2 keeps its sessions elsewhere than later ones: a pipeline of one is none of the other. */
function checkSameLibrary({ name, version, major }: Library, { model }: LibraryPipeline): void {
  if ((major === 2) === (model?.sessions === undefined)) return;
  throw new DgateError(
    "OPTION",
    `openHeadGates: the pipeline is not of ${name} ${version}, which was found; give its own module: { transformers: await import(…) }.`,
  );
}
