import { DgateError } from "@dgate/core";
import type { Dim, Graph } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { checkFeed, checkNames, printInput, printType } from "./check-feeds.ts";
import { openInputs } from "./optional-inputs.ts";
import {
  firstLine,
  importFirstOrt,
  isNode,
  type OrtCandidate,
  type OrtModule,
  type OrtSession,
  type OrtSessionOptions,
  type OrtTensor,
} from "./ort-module.ts";
import { type ExternalContent, type Runnable, runnableOf } from "./runnable.ts";
import { dataTypeNamed, type Feed, fromOrt, type RunTensor, toOrt } from "./run-tensor.ts";

/** An input or output of a loaded model; type and shape are absent where the runtime does not tell them. */
export interface RunnerValue {
  readonly name: string;
  readonly dtype?: DataType;
  readonly shape?: readonly Dim[];
}

/** A loaded model. Runs are done one after the other, in the order of the calls. */
export interface Runner {
  /** The onnxruntime that runs it: onnxruntime-node or onnxruntime-web. */
  readonly runtime: "node" | "web";
  /** Those that must be fed. */
  readonly inputs: readonly RunnerValue[];
  /** Those that may be fed and have a default: the gates of a gated model, and what `RunnerOptions.optionalInputs` names. */
  readonly optionalInputs: readonly RunnerValue[];
  readonly outputs: readonly RunnerValue[];
  /**
   * Runs the model once; outputs by name.
   * @throws DgateError `OPTION` for a missing or unknown input, `SHAPE` for another shape or type than the input's, `DATA` for
   * values that do not fit, `CHECK` if the runtime fails.
   */
  run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, RunTensor>>;
  /** Frees the runtime's memory; a second call does nothing. */
  dispose(): Promise<void>;
}

/** Options of `openRunner`. */
export interface RunnerOptions {
  /**
   * `node`: onnxruntime-node; `web`: onnxruntime-web's WASM, in Node too. By default the one that is installed, in Node
   * onnxruntime-node first.
   */
  readonly runtime?: "node" | "web";
  /** Threads of one run. The web runtime fixes them at the first model of a process. */
  readonly threads?: number;
  /**
   * Inputs with a default in the file that are to be fed in some runs, by name. By default the gates of a gated model; all
   * others keep their default.
   */
  readonly optionalInputs?: readonly string[];
  /** An onnxruntime module to use instead of the installed one; `runtime` tells which it is (default `web`). */
  readonly ort?: OrtModule;
  /** For a model given as bytes: the files that lie beside it, in memory. */
  readonly externalData?: readonly ExternalContent[];
  /** More options of `InferenceSession.create`. */
  readonly session?: OrtSessionOptions;
}

/**
 * Loads a model into the user's onnxruntime.
 *
 * @param model a graph, of any size, or the bytes of an ONNX file
 * @throws DgateError `MISSING_PACKAGE` if the runtime is not installed, `FORMAT` if it refuses the model, `UNSUPPORTED` for
 * float16 inputs or outputs on onnxruntime-node from Node 24 on and for a model past 4 GiB on onnxruntime-web, `OPTION` for
 * optional inputs that are not there; as `writeModel` for a graph that is not whole.
 */
export async function openRunner(model: Graph | Uint8Array, options: RunnerOptions = {}): Promise<Runner> {
  const { threads = 1, session: more = {} } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DgateError("OPTION", `openRunner: threads must be an integer ≥ 1, got ${threads}.`);
  }
  if (!["node", "web", undefined].includes(options.runtime)) {
    throw new DgateError("OPTION", `openRunner: runtime must be "node" or "web", got ${options.runtime}.`);
  }
  const given = options.ort && { runtime: options.runtime ?? "web", ort: options.ort };
  const { runtime, ort } = given ?? (await importFirstOrt(candidates(options.runtime)));
  if (runtime === "web") ort.env.wasm.numThreads = threads;
  const { bytes, externalData } = filesOf(model, options);
  if (runtime === "web") checkWebSize(bytes, externalData);
  const opened = openInputs(bytes, options.optionalInputs);
  const session = await createSession(ort, opened.bytes, {
    executionProviders: [runtime === "node" ? "cpu" : "wasm"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    ...more,
    ...(externalData.length > 0 && { externalData }),
  });
  if (runtime === "node" && takesFloat16(session) && "Float16Array" in globalThis) {
    await session.release();
    if (options.runtime === undefined) return openRunner(model, { ...options, runtime: "web" });
    throw new DgateError(
      "UNSUPPORTED",
      `openRunner: onnxruntime-node cannot pass float16 inputs and outputs where JavaScript has Float16Array ` +
        `(Node ${process.versions.node}); give { runtime: "web" } or use Node 22.`,
    );
  }
  return runnerOf(ort, session, runtime, opened.defaults);
}

function filesOf(model: Graph | Uint8Array, { externalData = [] }: RunnerOptions): Runnable {
  const runnable = runnableOf(model);
  return runnable.bytes === model ? { bytes: runnable.bytes, externalData } : runnable;
}

/** The address space of 32-bit WebAssembly, which onnxruntime-web's build has. */
const wasmBytes = 2 ** 32;

function checkWebSize(bytes: Uint8Array, externalData: readonly ExternalContent[]): void {
  const total = externalData.reduce((sum, { data }) => sum + data.length, bytes.length);
  if (total < wasmBytes) return;
  throw new DgateError(
    "UNSUPPORTED",
    `openRunner: the model has ${total} bytes, but the memory of onnxruntime-web ends at 4 GiB (${wasmBytes} bytes); ` +
      'run it in onnxruntime-node: { runtime: "node" }.',
  );
}

/** Its native side knows float16 as Uint16Array only, while its own Tensor makes a Float16Array wherever there is one. */
function takesFloat16({ inputMetadata, outputMetadata }: OrtSession): boolean {
  return [...(inputMetadata ?? []), ...(outputMetadata ?? [])].some(({ type }) => type === "float16");
}

// Names in variables keep bundlers from packing a runtime that the page does not use.
const nodePackage = "onnxruntime-node";
const webPackage = "onnxruntime-web";

type Runtime = "node" | "web";

function candidates(runtime: Runtime | undefined): readonly OrtCandidate<Runtime>[] {
  const all: readonly OrtCandidate<Runtime>[] = [
    { runtime: "node", name: nodePackage, load: () => import(/* @vite-ignore */ nodePackage) },
    { runtime: "web", name: webPackage, load: () => import(/* @vite-ignore */ webPackage) },
  ];
  if (runtime) return all.filter((candidate) => candidate.runtime === runtime);
  return isNode() ? all : all.slice(1);
}

let lastCreation: Promise<unknown> = Promise.resolve();

/** Creates sessions one at a time: the WASM runtime refuses a second start while the first is under way. */
export async function createSession(
  ort: OrtModule,
  bytes: Uint8Array,
  options: OrtSessionOptions,
): Promise<OrtSession> {
  const creation = lastCreation.then(() => ort.InferenceSession.create(bytes, options));
  lastCreation = creation.catch(() => undefined);
  try {
    return await creation;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new DgateError("FORMAT", `onnxruntime refuses the model: ${firstLine(text)}`, { cause });
  }
}

/** A session behind the `Runner` interface; `defaults` are fed to the inputs of these names where the caller feeds nothing. */
export function runnerOf(
  ort: OrtModule,
  session: OrtSession,
  runtime: Runtime,
  defaults: ReadonlyMap<string, Tensor> = new Map(),
): Runner {
  const taken = describe(session.inputNames, session.inputMetadata);
  const inputs = taken.filter(({ name }) => !defaults.has(name));
  const optionalInputs = taken.filter(({ name }) => defaults.has(name));
  const outputs = describe(session.outputNames, session.outputMetadata);
  let last: Promise<unknown> = Promise.resolve();
  let released = false;

  const runOnce = async (feeds: Readonly<Record<string, Feed>>): Promise<Record<string, RunTensor>> => {
    if (released) throw new DgateError("OPTION", "run: the model was disposed; load it again.");
    checkNames(inputs, optionalInputs, feeds);
    const given: Record<string, OrtTensor> = {};
    for (const input of taken) {
      const feed = Object.hasOwn(feeds, input.name) ? feeds[input.name] : defaults.get(input.name);
      const tensor = toOrt(ort, input.name, feed!, input.dtype); // checkNames: it is there
      checkFeed(input, tensor);
      given[input.name] = tensor;
    }
    try {
      const results = await session.run(given);
      return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, fromOrt(name, value)]));
    } catch (cause) {
      if (cause instanceof DgateError) throw cause;
      const text = cause instanceof Error ? cause.message : String(cause);
      const fed = Object.entries(given).map(([name, { type, dims }]) => `${name} ${printType(type, dims)}`);
      throw new DgateError(
        "CHECK",
        `onnxruntime cannot run the model, which takes ${taken.map(printInput).join(", ")}, ` +
          `with ${fed.join(", ")}: ${firstLine(text)}`,
        { cause },
      );
    }
  };

  return {
    runtime,
    inputs,
    optionalInputs,
    outputs,
    run(feeds) {
      const result = last.then(() => runOnce(feeds));
      last = result.catch(() => undefined);
      return result;
    },
    async dispose() {
      if (released) return;
      released = true;
      await last;
      await session.release();
    },
  };
}

function describe(names: readonly string[], infos: OrtSession["inputMetadata"]): RunnerValue[] {
  return names.map((name, i) => {
    const info = infos?.[i];
    const dtype = dataTypeNamed(info?.type);
    if (!info?.isTensor || !dtype) return { name };
    // An unknown dimension comes as an empty name or as −1.
    const shape = info.shape?.map((dim) => (dim === "" || dim === -1 ? undefined : dim));
    return { name, dtype, ...(shape && { shape }) };
  });
}
