import type * as ChildProcess from "node:child_process";
import type * as NodeModule from "node:module";
import type * as NodeUrl from "node:url";
import { DgateError } from "@dgate/core";
import { firstLine, importInNode, inNode, unavailable } from "./optional-package.ts";

/** What WebGPU tells about the device behind an adapter. */
export interface AdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly device?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
}

interface Gpu {
  requestAdapter(): Promise<{ readonly info?: AdapterInfo } | null>;
}

interface GpuNavigator {
  gpu?: Gpu;
}

/** How long a driver may take to present an adapter. */
const probeTimeoutMs = 20_000;

/** The adapter's name for people: the device with its driver in brackets, or what else is told. */
export function describeAdapter({ description, vendor, architecture, device }: AdapterInfo): string {
  if (device && description) return `${device} (${description})`;
  return [device, description, vendor, architecture].find(Boolean) ?? "unnamed adapter";
}

/** The adapter computes on the CPU: correct, and far slower than the wasm backend. */
export function isSoftware({ isFallbackAdapter, ...names }: AdapterInfo): boolean {
  const software = /swiftshader|llvmpipe|lavapipe|softpipe|basic render/i;
  return isFallbackAdapter === true || Object.values(names).some((name) => software.test(name));
}

function noAdapter(): DgateError {
  return new DgateError(
    "UNSUPPORTED",
    "no GPU adapter was found; check the GPU driver" +
      (inNode() ? " and, on Linux, its Vulkan loader (libvulkan.so.1)" : ""),
  );
}

/**
 * Asks for an adapter in a process of its own: a broken driver can crash or hang, and without Vulkan the `webgpu`
 * package writes to stderr.
 */
async function probeInNode(): Promise<AdapterInfo> {
  const { createRequire } = (await importInNode("node:module")) as typeof NodeModule;
  const { execFile } = (await importInNode("node:child_process")) as typeof ChildProcess;
  const { pathToFileURL } = (await importInNode("node:url")) as typeof NodeUrl;
  const path = await Promise.resolve("webgpu")
    .then((name) => createRequire(import.meta.url).resolve(name))
    .catch(unavailable("webgpu"));
  const script =
    `import { create } from ${JSON.stringify(pathToFileURL(path).href)};` +
    `const adapter = await create([]).requestAdapter();` +
    `const { vendor, architecture, device, description, isFallbackAdapter } = adapter?.info ?? {};` +
    `process.stdout.write(JSON.stringify(adapter && { vendor, architecture, device, description, isFallbackAdapter }), () => process.exit(0));`;
  const output = await new Promise<string>((resolve, reject) => {
    const args = ["--input-type=module", "--eval", script];
    execFile(process.execPath, args, { timeout: probeTimeoutMs }, (error, stdout) => {
      if (error === null) resolve(stdout);
      else if (error.killed === true)
        reject(new DgateError("UNSUPPORTED", `the GPU driver gave no answer in ${probeTimeoutMs / 1000} s`));
      else reject(new DgateError("UNSUPPORTED", `the GPU driver failed (${firstLine(error)})`));
    });
  });
  // The script above wrote it.
  const info = JSON.parse(output) as AdapterInfo | null;
  if (info === null) throw noAdapter();
  return info;
}

function gpuOfPage(): Gpu | undefined {
  // The DOM library here does not know WebGPU.
  return (globalThis.navigator as GpuNavigator | undefined)?.gpu;
}

async function probeInPage(gpu: Gpu | undefined): Promise<AdapterInfo> {
  if (gpu === undefined) {
    throw new DgateError("UNSUPPORTED", "this browser has no WebGPU (navigator.gpu is missing)");
  }
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw noAdapter();
  return adapter.info ?? {};
}

/**
 * What stands behind WebGPU here.
 *
 * @throws DgateError MISSING_PACKAGE or UNSUPPORTED with the reason why there is none
 */
export async function probeAdapter(): Promise<AdapterInfo> {
  const gpu = gpuOfPage();
  return gpu === undefined && inNode() ? await probeInNode() : await probeInPage(gpu);
}

/** Makes `navigator.gpu` of Node what it is in a browser, through the `webgpu` package. */
export async function installGpuInNode(): Promise<void> {
  if (gpuOfPage() !== undefined) return;
  // The shape that the `webgpu` package documents.
  const dawn = (await importInNode("webgpu").catch(unavailable("webgpu"))) as {
    readonly create: (flags: string[]) => Gpu;
    readonly globals: object;
  };
  Object.assign(globalThis, dawn.globals);
  if (globalThis.navigator === undefined) {
    Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true, writable: true });
  }
  Object.defineProperty(globalThis.navigator, "gpu", { value: dawn.create([]), configurable: true });
}
