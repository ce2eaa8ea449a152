import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { registerWasmKernels } from "../wasm/register.ts";
import { firstLine, importInNode, inNode, unavailable } from "./optional-package.ts";
import { describeAdapter, installGpuInNode, isSoftware, probeAdapter } from "./webgpu-adapter.ts";

/** Backends by falling speed on the machines they are made for; "auto" tries them in this order. */
export const backendNames = ["node-gpu", "node", "webgpu", "wasm", "cpu"] as const;

export type BackendName = (typeof backendNames)[number];

/** A backend that was not taken, and why: one line. */
export interface RejectedBackend {
  readonly name: BackendName;
  readonly reason: string;
}

export interface BackendChoice {
  /** The backend that tfjs now uses. */
  readonly backend: BackendName;
  /** What computes, for people: a GPU's name, "libtensorflow", "WebAssembly SIMD". */
  readonly device: string;
  /** Faster backends that were tried before, with the reasons against them. */
  readonly tried: readonly RejectedBackend[];
}

/** Loads, starts and checks one backend; gives the name of what computes. Throws a DgateError with the reason. */
type Start = (options: { readonly explicit: boolean }) => Promise<string>;

const starts: { readonly [Name in BackendName]: Start } = {
  "node-gpu": () => startTensorflow("@tensorflow/tfjs-node-gpu", true),
  node: () => startTensorflow("@tensorflow/tfjs-node", false),
  webgpu: startWebgpu,
  wasm: startWasm,
  cpu: async () => {
    await activate("cpu", "@tensorflow/tfjs");
    return "JavaScript";
  },
};

/** Makes a registered backend tfjs's current one. */
async function activate(name: string, packageName: string): Promise<void> {
  if (tf.findBackendFactory(name) === null) {
    throw new DgateError(
      "UNSUPPORTED",
      `${packageName} did not register with this copy of @tensorflow/tfjs-core (${tf.version_core}); ` +
        `install the same version of both: npm install @tensorflow/tfjs@${tf.version_core} ${packageName}@${tf.version_core}`,
    );
  }
  const started = await tf.setBackend(name).catch((error: unknown) => {
    throw new DgateError("UNSUPPORTED", `${packageName} does not start (${firstLine(error)})`, {
      cause: error,
    });
  });
  if (!started) throw new DgateError("UNSUPPORTED", `${packageName} does not start on this machine`);
  await check(packageName);
}

/** One small training step by hand: what loads may still not compute, as tfjs-node on a newer Node does. */
async function check(packageName: string): Promise<void> {
  const gradient = tf.tidy(() => {
    const weights = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    return tf.grad((x) => tf.relu(tf.matMul(x, weights)).sum())(tf.ones([2, 2]));
  });
  const values = await gradient.data();
  gradient.dispose();
  // ∂/∂x Σ relu(x·W) = 1·Wᵀ, all products being positive.
  if ([3, 7, 3, 7].some((value, i) => Math.abs(values[i]! - value) > 1e-3)) {
    throw new DgateError(
      "UNSUPPORTED",
      `${packageName} computes wrongly: got ${values.join(", ")}, expected 3, 7, 3, 7`,
    );
  }
}

async function startTensorflow(packageName: string, gpu: boolean): Promise<string> {
  if (!inNode()) throw new DgateError("UNSUPPORTED", `${packageName} runs in Node only`);
  await importInNode(packageName).catch(unavailable(packageName));
  await activate("tensorflow", packageName).catch((error: unknown) => {
    const newer = Number(process.versions.node.split(".")[0]) >= 23;
    const advice = newer ? `; ${packageName} 4.22 needs Node 22 or older, this is ${process.version}` : "";
    throw new DgateError("UNSUPPORTED", firstLine(error) + advice, { cause: error });
  });
  // A public field of tfjs-node's backend: libtensorflow falls back to the CPU without an error.
  const { isUsingGpuDevice } = tf.backend() as { readonly isUsingGpuDevice?: boolean };
  if (gpu && isUsingGpuDevice !== true) {
    tf.removeBackend("tensorflow");
    throw new DgateError(
      "UNSUPPORTED",
      `${packageName} found no CUDA device; it needs an NVIDIA GPU with CUDA 11.2 and cuDNN 8.1`,
    );
  }
  return gpu ? "libtensorflow on CUDA" : "libtensorflow";
}

async function startWebgpu({ explicit }: { readonly explicit: boolean }): Promise<string> {
  const adapter = await probeAdapter();
  const device = describeAdapter(adapter);
  if (isSoftware(adapter) && !explicit) {
    throw new DgateError("UNSUPPORTED", `the only adapter (${device}) computes on the CPU, slower than wasm`);
  }
  if (inNode()) await installGpuInNode();
  const name = "@tensorflow/tfjs-backend-webgpu";
  await import("@tensorflow/tfjs-backend-webgpu").catch(unavailable(name));
  await activate("webgpu", name);
  return device;
}

async function startWasm(): Promise<string> {
  const name = "@tensorflow/tfjs-backend-wasm";
  await import("@tensorflow/tfjs-backend-wasm").catch(unavailable(name));
  // Our kernels work in memory of one thread. And tfjs's own threads, which a cross-origin isolated page would get, run a function's source text: in a
  // bundle it lacks what it refers to, and the backend waits for ever.
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  registerWasmKernels();
  await activate("wasm", name);
  return "WebAssembly";
}

/**
 * Chooses where tfjs computes. "auto" takes the first that works of tfjs-node-gpu, tfjs-node, WebGPU (not on a
 * software renderer), wasm (with the kernels of `@dgate/tfjs/wasm`) and cpu, and says what was against the faster ones.
 * A name takes that one or throws.
 *
 * @throws DgateError MISSING_PACKAGE (with the line that installs it), UNSUPPORTED or OPTION
 */
export async function useBackend(name: BackendName | "auto" = "auto"): Promise<BackendChoice> {
  if (name !== "auto") {
    if (!backendNames.includes(name)) {
      throw new DgateError(
        "OPTION",
        `backend is "${name as string}", expected auto, ${backendNames.join(", ")}`,
      );
    }
    const device = await starts[name]({ explicit: true }).catch((error: unknown) => {
      throw asReason(name, error);
    });
    return { backend: name, device, tried: [] };
  }
  const tried: RejectedBackend[] = [];
  for (const candidate of backendNames) {
    try {
      return { backend: candidate, device: await starts[candidate]({ explicit: false }), tried };
    } catch (error) {
      tried.push({ name: candidate, reason: firstLine(error) });
    }
  }
  const reasons = tried.map(({ name: rejected, reason }) => `${rejected}: ${reason}`).join("; ");
  throw new DgateError("UNSUPPORTED", `no backend of tfjs works here (${reasons})`);
}

function asReason(name: BackendName, error: unknown): DgateError {
  const code = error instanceof DgateError ? error.code : "UNSUPPORTED";
  return new DgateError(code, `backend ${name}: ${firstLine(error)}`, { cause: error });
}

/** The choice in one line, as `dgate train` prints it. */
export function describeBackend({ backend, device, tried }: BackendChoice): string {
  const taken = `backend ${backend} (${device})`;
  if (tried.length === 0) return taken;
  return `${taken}; not ${tried.map(({ name, reason }) => `${name}: ${reason}`).join("; not ")}`;
}
