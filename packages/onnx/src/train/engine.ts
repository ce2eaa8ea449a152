import { DgateError } from "@dgate/core";
import { writeModel } from "../io/write.ts";
import type { Graph } from "../graph/graph.ts";
import { createSession } from "../runtime/open-runner.ts";
import {
  firstLine,
  importFirstOrt,
  importOrt,
  isNode,
  type OrtModule,
  type OrtSession,
  type OrtSessionOptions,
} from "../runtime/ort-module.ts";

/** Where a step is computed: onnxruntime-node's CPU, onnxruntime-web's WASM, or WebGPU (of either package). */
export type TrainProvider = "cpu" | "wasm" | "webgpu";

/** What chooses and starts a runtime. */
export interface EngineOptions {
  /** By default `cpu` in Node and, in a page, `webgpu` where the browser offers a GPU, else `wasm`. */
  readonly provider?: TrainProvider;
  /** Threads of one run (default 1). */
  readonly threads?: number;
  /** An onnxruntime module to use instead of the installed one. */
  readonly ort?: OrtModule;
  /** Where onnxruntime-web's own .wasm and .mjs files are served. */
  readonly wasmPaths?: string;
  /** More options of `InferenceSession.create`. */
  readonly session?: OrtSessionOptions;
}

/** A runtime that sessions are made in. */
export interface Engine {
  readonly ort: OrtModule;
  /** The package of `ort`: onnxruntime-node or onnxruntime-web. */
  readonly runtime: "node" | "web";
  readonly provider: TrainProvider;
  readonly threads: number;
  /** @param onDevice outputs that stay where they are computed; `readTensors` reads them, for onnxruntime-node's own `getData` cannot */
  open(graph: Graph, onDevice?: readonly string[]): Promise<OrtSession>;
}

// Names in variables keep bundlers from packing a runtime that the page does not use.
const nodePackage = "onnxruntime-node";
const webPackage = "onnxruntime-web";

/**
 * Finds the user's onnxruntime.
 * @throws DgateError `MISSING_PACKAGE`, `OPTION`
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { threads = 1 } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DgateError("OPTION", `train: threads must be an integer of at least 1, got ${threads}.`);
  }
  const { provider, ort, runtime } = await choose(options);
  if (runtime === "web") {
    if (options.wasmPaths !== undefined) ort.env.wasm.wasmPaths = options.wasmPaths;
    ort.env.wasm.numThreads = threads;
  }
  return {
    ort,
    runtime,
    provider,
    threads,
    open: (graph, onDevice = []) =>
      openSession(provider, ort, writeModel(graph), {
        executionProviders: [provider],
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
        ...(onDevice.length > 0 && {
          preferredOutputLocation: Object.fromEntries(onDevice.map((name) => [name, "gpu-buffer"])),
        }),
        ...options.session,
      }),
  };
}

/** As `createSession`; a GPU that is not there is no fault of the model. */
async function openSession(
  provider: TrainProvider,
  ort: OrtModule,
  bytes: Uint8Array,
  options: OrtSessionOptions,
): Promise<OrtSession> {
  try {
    return await createSession(ort, bytes, options);
  } catch (cause) {
    if (provider !== "webgpu" || !/adapter|navigator\.gpu|no available backend/i.test(String(cause)))
      throw cause;
    throw new DgateError(
      "UNSUPPORTED",
      `train: provider "webgpu" finds no GPU adapter here; use provider "${isNode() ? "cpu" : "wasm"}".`,
      { cause },
    );
  }
}

interface Chosen {
  readonly provider: TrainProvider;
  readonly runtime: "node" | "web";
  readonly ort: OrtModule;
}

async function choose({ provider, ort }: EngineOptions): Promise<Chosen> {
  if (provider !== undefined && !["cpu", "wasm", "webgpu"].includes(provider)) {
    throw new DgateError(
      "OPTION",
      `train: provider must be "cpu", "wasm" or "webgpu", got "${provider as string}".`,
    );
  }
  // Where both packages are loaded, both have told their version; WebGPU in Node is onnxruntime-node's.
  const native = provider === "cpu" || (provider === "webgpu" && ort?.env.versions?.node !== undefined);
  if (ort) return { provider: provider ?? "wasm", runtime: native ? "node" : "web", ort };
  const node = {
    runtime: "node" as const,
    name: nodePackage,
    load: () => import(/* @vite-ignore */ nodePackage),
  };
  const web = {
    runtime: "web" as const,
    name: webPackage,
    load: () => import(/* @vite-ignore */ webPackage),
  };
  if (provider === "cpu") return { provider, ...(await importFirstOrt([node])) };
  if (isNode()) {
    if (provider === "wasm") return { provider, ...(await importFirstOrt([web])) };
    if (provider === "webgpu") return { provider, ...(await importFirstOrt([node])) };
    const found = await importFirstOrt<"node" | "web">([node, web]);
    return { provider: found.runtime === "node" ? "cpu" : "wasm", ...found };
  }
  const chosen = provider ?? ((await hasAdapter()) ? "webgpu" : "wasm");
  // The build without WebGPU is half as large to download.
  const module =
    chosen === "webgpu"
      ? await importOrt(webPackage, () => import("onnxruntime-web/webgpu"))
      : await importOrt(webPackage, () => import("onnxruntime-web/wasm"));
  return { provider: chosen, runtime: "web", ort: module };
}

/** Whether there is a GPU; an adapter that computes on the CPU is slower than WASM. */
async function hasAdapter(): Promise<boolean> {
  const { gpu } = (globalThis.navigator ?? {}) as { gpu?: Gpu }; // no types without a package
  const adapter = await gpu?.requestAdapter().catch(() => undefined);
  return adapter ? !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false) : false;
}

interface Gpu {
  requestAdapter(): Promise<
    | { readonly info?: { readonly isFallbackAdapter?: boolean }; readonly isFallbackAdapter?: boolean }
    | null
    | undefined
  >;
}

/** What a runtime's error says, in one line. */
export const messageOf = (cause: unknown): string =>
  firstLine(cause instanceof Error ? cause.message : String(cause));
