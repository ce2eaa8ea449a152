import { DgateError } from "@dgate/core";

/** A tensor of transformers.js; from version 3 on it wraps one of onnxruntime. */
export interface LibraryTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView | readonly unknown[];
  readonly ort_tensor?: object;
}

/** What a tokenizer returns: tensors by the names of the model's inputs. */
export type Encoding = Readonly<Record<string, LibraryTensor>>;

/** Options of a tokenizer's call, as all versions take them. */
interface TokenizerOptions {
  readonly text_pair?: readonly string[] | null;
  readonly padding?: boolean;
  readonly truncation?: boolean;
  readonly max_length?: number;
}

/** A tokenizer of transformers.js. */
export interface LibraryTokenizer {
  (texts: readonly string[], options?: TokenizerOptions): Encoding | Promise<Encoding>;
  readonly model_max_length?: number;
  readonly padding_side?: string;
  readonly pad_token_id?: number;
}

/** An image or feature processor of transformers.js. */
type LibraryProcessor = (inputs: unknown) => Promise<Encoding>;

/** A session of the onnxruntime inside transformers.js. */
export interface LibrarySession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata?: readonly unknown[];
  /** Version 4: `{ dtype, device }`. */
  config?: unknown;
  run(feeds: Record<string, unknown>, ...rest: unknown[]): Promise<Record<string, unknown>>;
  release?(): Promise<void>;
}

/** A model of transformers.js: version 2 keeps sessions in properties, later ones in `sessions`. */
export interface LibraryModel {
  readonly config: Record<string, unknown>;
  readonly main_input_name?: string;
  session?: LibrarySession;
  decoder_merged_session?: LibrarySession;
  readonly sessions?: Record<string, LibrarySession>;
  generate?(...inputs: readonly unknown[]): Promise<unknown>;
  dispose?(): Promise<unknown>;
}

/** A pipeline of transformers.js. */
export interface LibraryPipeline {
  (...inputs: readonly unknown[]): Promise<unknown>;
  readonly task: string;
  readonly model: LibraryModel;
  readonly tokenizer?: LibraryTokenizer | null;
  readonly processor?: LibraryProcessor | null;
  dispose?(): Promise<unknown>;
}

/** A model as callers have it: each version of transformers.js types its own. */
export interface GivenModel {
  readonly config: object;
}

/** A pipeline as callers have it: each version of transformers.js types its own. */
export interface GivenPipeline {
  readonly task: string;
  readonly model: GivenModel;
}

/** Settings of transformers.js that say where files are. */
export interface LibraryEnv {
  readonly version: string;
  readonly backends: { readonly onnx: object };
  readonly allowRemoteModels: boolean;
  readonly allowLocalModels: boolean;
  readonly localModelPath: string | null;
  readonly remoteHost: string;
  readonly remotePathTemplate: string;
  readonly useBrowserCache: boolean;
  readonly useFSCache: boolean;
  readonly cacheDir: string | null;
  readonly useCustomCache: boolean;
  readonly customCache: { match(key: string): Promise<unknown> } | null;
  readonly cacheKey?: string;
  readonly fetch?: typeof fetch;
}

/** The module `@huggingface/transformers` or `@xenova/transformers`, as far as it is used here. */
export interface LibraryModule {
  readonly env: LibraryEnv;
  pipeline(task: string, model: string, options: Readonly<Record<string, unknown>>): Promise<LibraryPipeline>;
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => LibraryTensor;
  readonly RawImage?: { read(source: string | URL): Promise<unknown> };
}

/** The user's copy of transformers.js. */
export interface Library {
  readonly name: "@huggingface/transformers" | "@xenova/transformers";
  readonly version: string;
  readonly major: 2 | 3 | 4;
  readonly module: LibraryModule;
}

// Names in variables keep bundlers from packing a library that the page does not use.
const successor = "@huggingface/transformers";
const first = "@xenova/transformers";

/**
 * The transformers.js to work with: the module that is given, else the installed one, `@huggingface/transformers` before
 * `@xenova/transformers`.
 *
 * @throws DgateError `MISSING_PACKAGE` with the install line if none is installed, `UNSUPPORTED` for a version that is not known, `OPTION` for
 * something that is not the module
 */
export async function findLibrary(given?: unknown): Promise<Library> {
  if (given !== undefined) return describeLibrary(given);
  const failures: unknown[] = [];
  for (const [name, load] of [
    [successor, () => import(/* @vite-ignore */ successor)],
    [first, () => import(/* @vite-ignore */ first)],
  ] as const) {
    try {
      return describeLibrary(await load());
    } catch (error) {
      if (error instanceof DgateError) throw error;
      failures.push(explainLoadFailure(name, error));
    }
  }
  const loads = failures.find((failure) => failure instanceof DgateError);
  if (loads) throw loads;
  throw new DgateError(
    "MISSING_PACKAGE",
    `openHeadGates: no transformers.js is installed; run npm install ${successor} (or, for version 2, ${first}), ` +
      "or give the module: { transformers: await import(…) }.",
    { cause: failures[0] },
  );
}

/** An error that is no absence: the package is there and does not load, as where one of its own dependencies is missing. */
export function explainLoadFailure(name: string, error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  const absent = new RegExp(`(cannot find|failed to (resolve|load))[^'"]*?['"\\s]${name}['"\\s]`, "i");
  if (absent.test(text)) return error;
  return new DgateError(
    "MISSING_PACKAGE",
    explainOrtClash(text) ?? `${name} does not load: ${firstLine(text)}`,
    {
      cause: error,
    },
  );
}

/**
 * What to say where two native libraries of onnxruntime meet: both are called libonnxruntime.so.1, so the second one to load finds the symbols
 * of the first. `undefined` for any other message.
 */
export function explainOrtClash(message: string): string | undefined {
  const wanted = /version `VERS_([\d.]+)' not found/.exec(message)?.[1];
  if (wanted === undefined) return undefined;
  const loaded = /onnxruntime-node@?([\d.]+)?/.exec(message)?.[1];
  return (
    `two copies of onnxruntime-node meet in this process: one that wants its library of version ${wanted}, and another one` +
    `${loaded === undefined ? "" : ` (${loaded})`} that was loaded before. Only one of them can be loaded; import transformers.js first and leave ` +
    `\`ort\` out, or install onnxruntime-node ${wanted} so that both share it.`
  );
}

const firstLine = (text: string): string => text.split("\n", 1)[0]!;

/**
 * Name and version of a transformers.js module.
 * @throws DgateError `OPTION`, `UNSUPPORTED`
 */
export function describeLibrary(given: unknown): Library {
  const found = given as Partial<LibraryModule> & { readonly default?: LibraryModule }; // checked by the reads below
  const module = (found?.env ? found : found?.default) as LibraryModule | undefined; // checked by the reads below
  const version = module?.env?.version;
  if (typeof version !== "string" || typeof module?.pipeline !== "function") {
    throw new DgateError(
      "OPTION",
      `openHeadGates: transformers is not the module ${successor} or ${first}; give what import * as transformers gives.`,
    );
  }
  const major = Number.parseInt(version, 10);
  if (major !== 2 && major !== 3 && major !== 4) {
    throw new DgateError(
      "UNSUPPORTED",
      `openHeadGates: transformers.js ${version} is not known; versions 2.17, 3 and 4 are.`,
    );
  }
  return { name: major === 2 ? first : successor, version, major, module };
}
