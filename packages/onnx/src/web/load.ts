import { DgateError } from "@dgate/core";
import { createSession, type Runner, type RunnerValue, runnerOf } from "../runtime/open-runner.ts";
import { importOrt, isNode, type OrtModule, type OrtSessionOptions } from "../runtime/ort-module.ts";
import type { Feed, RunTensor } from "../runtime/run-tensor.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { type FetchOptions, fetchModel } from "./fetch-model.ts";
import { LatencyRecord, type LatencyStats } from "./latency.ts";

/** Execution providers of onnxruntime-web that are tried. */
export type Provider = "webgpu" | "wasm";

/** Options of `load`. */
export interface LoadOptions extends FetchOptions {
  /** In order of preference. */
  readonly providers?: readonly Provider[];
  /** Threads of the WASM provider; fixed at the first model of a page or process. By default half the cores, at most 4; 1 in Node. */
  readonly threads?: number;
  /** Run once after loading: with zeros, named dimensions 1 (`true`), or with these feeds. Compiles WebGPU's shaders. */
  readonly warmUp?: boolean | Readonly<Record<string, Feed>>;
  /** Where onnxruntime-web's own .wasm and .mjs files are served, if not beside the page's script: `"/ort/"`. */
  readonly wasmPaths?: string;
  /** An onnxruntime-web module to use instead of the installed one, for example from a script tag. */
  readonly ort?: OrtModule;
  /** More options of `InferenceSession.create`. */
  readonly session?: OrtSessionOptions;
}

/** A model running on onnxruntime-web. */
export interface WebModel<Input extends string = string, Output extends string = string> {
  readonly inputs: readonly RunnerValue[];
  readonly outputs: readonly RunnerValue[];
  /** The provider that took the model. Operators without WebGPU kernel run on the CPU all the same. */
  readonly provider: Provider;
  /** Threads that the WASM provider has. */
  readonly threads: number;
  /** Why a preferred provider, the threads or the warm-up are not as asked for; empty if all is. */
  readonly notes: readonly string[];
  readonly sizeBytes: number;
  /** Runs the model once; see `Runner`. */
  run(feeds: Readonly<Record<Input, Feed>>): Promise<Record<Output, RunTensor>>;
  /** Times of the runs so far. */
  latency(): LatencyStats;
  /** Frees the memory of the runtime. */
  dispose(): Promise<void>;
}

/**
 * Loads a model into onnxruntime-web, in a page, a worker or Node.
 *
 *     const model = await load<"image", "label">("/small.onnx", { onProgress, cache: true });
 *     const { label } = await model.run({ image: { data, shape: [1, 1, 28, 28] } });
 *
 * @param source URL (in Node also a path) or the bytes of an ONNX file
 * @throws DgateError `MISSING_PACKAGE`, `IO`, `ABORTED`, `CHECK` for a wrong hash, `FORMAT` if no provider takes the model.
 */
export async function load<Input extends string = string, Output extends string = string>(
  source: string | URL | Uint8Array,
  options: LoadOptions = {},
): Promise<WebModel<Input, Output>> {
  const { signal, onProgress } = options;
  const providers = checkOptions(options);
  stopIfAborted(signal);
  const bytes = source instanceof Uint8Array ? source : await fetchModel(String(source), options);
  stopIfAborted(signal);
  onProgress?.({ phase: "start", loaded: bytes.length, total: bytes.length });
  const started = await start(
    bytes,
    source instanceof Uint8Array ? "the model" : String(source),
    providers,
    options,
  );
  const { runner } = started;
  if (signal?.aborted) {
    await runner.dispose();
    stopIfAborted(signal);
  }
  const record = new LatencyRecord();
  return {
    inputs: runner.inputs,
    outputs: runner.outputs,
    provider: started.provider,
    threads: started.threads,
    notes: started.notes,
    sizeBytes: bytes.length,
    async run(feeds) {
      const before = performance.now();
      const results = await runner.run(feeds);
      record.add(performance.now() - before);
      return results;
    },
    latency: () => record.stats(),
    dispose: () => runner.dispose(),
  };
}

interface Started {
  readonly runner: Runner;
  readonly provider: Provider;
  readonly threads: number;
  readonly notes: readonly string[];
}

/** Opens the model with the first provider that takes it. */
async function start(
  bytes: Uint8Array,
  name: string,
  providers: readonly Provider[],
  options: LoadOptions,
): Promise<Started> {
  const notes: string[] = [];
  let last: unknown;
  let refused = false;
  for (const provider of providers) {
    const obstacle = provider === "webgpu" ? await webgpuObstacle() : undefined;
    if (obstacle) {
      notes.push(`webgpu: ${obstacle}`);
      continue;
    }
    let runner: Runner | undefined;
    try {
      const ort = options.ort ?? (await importWeb(provider));
      const threads = setUp(ort, options, notes);
      const session = await createSession(ort, bytes, {
        executionProviders: [provider],
        logSeverityLevel: 3,
        ...options.session,
      });
      runner = runnerOf(ort, session, "web");
      await warmUp(runner, provider, bytes.length, options, notes);
      return { runner, provider, threads: actualThreads(ort, threads, notes), notes };
    } catch (error) {
      await runner?.dispose();
      if (options.signal?.aborted || (error instanceof DgateError && error.code === "MISSING_PACKAGE"))
        throw error;
      notes.push(`${provider}: ${error instanceof Error ? error.message : String(error)}`);
      last = error;
      refused ||= runner === undefined;
    }
  }
  throw new DgateError(
    "FORMAT",
    `load: no provider takes ${name} (${notes.join("; ")}); ${remedy(last, refused, name)}.`,
    { cause: last },
  );
}

/** The way out: providers that are not there, a file that none takes, or a warm-up that fails. */
function remedy(last: unknown, refused: boolean, name: string): string {
  if (last === undefined) return 'add "wasm" to providers';
  if (!refused) return "give warmUp feeds that fit, or warmUp: false";
  const file = name === "the model" ? "FILE" : name;
  return `the file is damaged or not ONNX, or the options do not fit it; check it with: dgate inspect ${file}`;
}

function checkOptions({ providers = ["webgpu", "wasm"], threads }: LoadOptions): readonly Provider[] {
  const wrong = providers.find((provider) => provider !== "webgpu" && provider !== "wasm");
  if (wrong !== undefined || providers.length === 0) {
    throw new DgateError("OPTION", `load: providers must name "webgpu" or "wasm", got ${wrong ?? "none"}.`);
  }
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new DgateError("OPTION", `load: threads must be an integer ≥ 1, got ${threads}.`);
  }
  return providers;
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new DgateError("ABORTED", "load: cancelled.", { cause: signal.reason });
}

const nodeName = "onnxruntime-web";

/** The build of onnxruntime-web that has the provider: the one without WebGPU is half as large to download. */
function importWeb(provider: Provider): Promise<OrtModule> {
  // A variable keeps bundlers for browsers from packing Node's build as well.
  if (isNode()) return importOrt(nodeName, () => import(/* @vite-ignore */ nodeName));
  return provider === "webgpu"
    ? importOrt("onnxruntime-web", () => import("onnxruntime-web/webgpu"))
    : importOrt("onnxruntime-web", () => import("onnxruntime-web/wasm"));
}

/** Why WebGPU cannot be had here; undefined if it can. For those who ask before they fetch a runtime or a model for it. */
export async function webgpuObstacle(): Promise<string | undefined> {
  const { gpu } = (globalThis.navigator ?? {}) as { gpu?: { requestAdapter(): Promise<unknown> } }; // no types without a package
  if (!gpu) return "this environment has no navigator.gpu";
  try {
    return (await gpu.requestAdapter()) ? undefined : "the browser offers no GPU adapter";
  } catch (error) {
    return `the browser offers no GPU adapter (${error instanceof Error ? error.message : String(error)})`;
  }
}

/** Threads with which each runtime was started; it cannot change them any more. */
const startedThreads = new WeakMap<OrtModule["env"], number>();

function setUp(ort: OrtModule, options: LoadOptions, notes: string[]): number {
  const { wasm } = ort.env;
  if (options.wasmPaths !== undefined) wasm.wasmPaths = options.wasmPaths;
  const fixed = startedThreads.get(ort.env);
  if (fixed !== undefined) {
    if (options.threads !== undefined && options.threads !== fixed) {
      notes.push(`threads: ${fixed}, as the first model of this page or process asked for`);
    }
    return fixed;
  }
  const isolated = isNode() || globalThis.crossOriginIsolated;
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const wanted = options.threads ?? (isNode() ? 1 : Math.max(1, Math.min(4, Math.floor(cores / 2))));
  if (wanted > 1 && !isolated) {
    notes.push(
      "threads: 1, for the page is not cross-origin isolated; send the headers COOP same-origin and COEP require-corp",
    );
  }
  wasm.numThreads = isolated ? wanted : 1;
  return wasm.numThreads;
}

/** The runtime lowers the number where it has no threads. */
function actualThreads(ort: OrtModule, set: number, notes: string[]): number {
  const threads = startedThreads.get(ort.env) ?? ort.env.wasm.numThreads ?? set;
  startedThreads.set(ort.env, threads);
  if (threads < set) notes.push(`threads: ${threads}, for this environment has no WebAssembly threads`);
  return threads;
}

async function warmUp(
  runner: Runner,
  provider: Provider,
  sizeBytes: number,
  { warmUp: wanted = true, onProgress, signal }: LoadOptions,
  notes: string[],
): Promise<void> {
  if (wanted === false) return;
  stopIfAborted(signal);
  onProgress?.({ phase: "warm-up", loaded: sizeBytes, total: sizeBytes });
  const feeds = wanted === true ? zeros(runner.inputs) : wanted;
  if (!feeds) {
    notes.push("warm-up: left out, for the runtime does not tell the types of the inputs; give the feeds");
    return;
  }
  try {
    await runner.run(feeds);
  } catch (error) {
    // Zeros may be no fit input; a provider that fails on what the caller gave is no use.
    if (wanted !== true || provider === "webgpu") throw error;
    notes.push(`warm-up: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function zeros(inputs: readonly RunnerValue[]): Record<string, Feed> | undefined {
  const feeds: Record<string, Feed> = {};
  for (const { name, dtype, shape } of inputs) {
    if (!dtype || !shape) return undefined;
    const sizes = shape.map((dim) => (typeof dim === "number" ? dim : 1));
    const count = sizes.reduce((product, size) => product * size, 1);
    feeds[name] = tensorOf(
      dtype,
      sizes,
      dtype === "string" ? Array<string>(count).fill("") : new Uint8Array(count),
    );
  }
  return feeds;
}
