import { openHeadGates } from "../../packages/transformers/src/index.ts";

/** A version of transformers.js as a page gets it, and a model folder. */
export interface PageModel {
  /** URL of the web build, and of the folder of its WASM files. */
  readonly library: string;
  readonly wasm: string;
  /** Name of the folder below `/models/`. */
  readonly name: string;
}

/** What a page is asked to run. */
export interface PipelineTask extends PageModel {
  readonly dtype: "fp32" | "q8";
  readonly texts: readonly string[];
}

/** What the gates did in a page. */
export interface GatesResult {
  readonly heads: readonly number[];
  /** Logits with all gates open, with one head turned off, and after the gates were taken away. */
  readonly logits: {
    readonly dense: number[];
    readonly attached: number[];
    readonly off: number[];
    readonly detached: number[];
  };
  readonly losses: number[];
  readonly steps: number;
  /** Paths of the pruned model's files, and the largest difference of the pruned from the masked one. */
  readonly files: readonly string[];
  readonly maxAbsDiff: number;
  /** What `save` says in a page. */
  readonly saveCode: string;
}

interface Module {
  readonly env: Record<string, unknown> & {
    readonly version: string;
    readonly backends: { readonly onnx: { readonly wasm: Record<string, unknown> } };
  };
  pipeline(task: string, name: string, options: object): Promise<Pipeline>;
}

interface Pipeline {
  tokenizer(texts: readonly string[], options: object): Promise<object>;
  model(inputs: object): Promise<{ readonly logits: { readonly data: Float32Array } }>;
}

/** The library with all its files from the page's own server. */
async function libraryOf({ library, wasm }: PageModel): Promise<Module> {
  const module = (await import(library)) as Module;
  const { env } = module;
  env["allowRemoteModels"] = false;
  env["allowLocalModels"] = true;
  env["localModelPath"] = "/models/";
  env["useBrowserCache"] = false;
  env.backends.onnx.wasm["wasmPaths"] = wasm;
  env.backends.onnx.wasm["numThreads"] = 1;
  return module;
}

const optionsOf = ({ env }: Module, dtype: "fp32" | "q8"): object =>
  env.version.startsWith("2.") ? { quantized: dtype === "q8" } : { dtype, device: "wasm" };

const logitsOf = async (run: Pipeline, texts: readonly string[]): Promise<number[]> => {
  const { logits } = await run.model(await run.tokenizer(texts, { padding: true, truncation: true }));
  return Array.from(logits.data);
};

/** Opens a saved folder in the page as a user would, and gives its logits. */
export async function runPipeline(task: PipelineTask): Promise<number[]> {
  const module = await libraryOf(task);
  return logitsOf(
    await module.pipeline("text-classification", task.name, optionsOf(module, task.dtype)),
    task.texts,
  );
}

/** Finds, attaches, sets, learns and prunes in the page. */
export async function runGates(
  task: PageModel & { readonly texts: readonly string[] },
): Promise<GatesResult> {
  const transformers = await libraryOf(task);
  const gates = await openHeadGates(task.name, { transformers, library: { device: "wasm" } });
  const run = gates.pipeline as unknown as Pipeline; // it is one of the library's
  const one = task.texts.slice(0, 1);
  const dense = await logitsOf(run, one);
  const detach = await gates.attach();
  const attached = await logitsOf(run, one);
  gates.set(0, 1, 0);
  const off = await logitsOf(run, one);
  await detach();
  const detached = await logitsOf(run, one);
  gates.reset();
  const report = await gates.learn(task.texts, {
    target: { heads: 0.5 },
    steps: 4,
    batchSize: 4,
    latency: false,
  });
  const pruned = await gates.prune();
  const files = await pruned.modelFiles({ dtypes: ["fp32", "q8"] });
  const saveCode = await pruned.save("folder").then(
    () => "",
    (error: unknown) => (error as { readonly code: string }).code,
  );
  await gates.dispose();
  return {
    heads: gates.heads.blocks.map(({ groups }) => groups),
    logits: { dense, attached, off, detached },
    losses: [...report.losses],
    steps: report.steps,
    files: [...files.keys()],
    maxAbsDiff: pruned.files[0]!.pruned!.verification.maxAbsDiff,
    saveCode,
  };
}

// The test calls the page's functions by these.
Object.assign(globalThis, { runPipeline, runGates });
