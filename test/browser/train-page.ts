import { DgateError } from "@dgate/core";
import type { FitOptions, Trainer, TrainerOptions } from "@dgate/onnx/train";
import {
  deviceBatches,
  type DeviceNetName,
  type DeviceSteps,
  deviceSteps,
  openDeviceNet,
} from "../../packages/onnx/test/train/device-nets.ts";

type Where = Pick<TrainerOptions, "provider" | "updates" | "threads">;

/** What training in the page came to. */
export interface PageSteps extends DeviceSteps {
  readonly provider: string;
  readonly updates: string;
  /** Groups that `prune` removed, and whether it found masked and pruned model equal. */
  readonly removed: number;
  readonly equal: boolean;
}

/** What happened when training was cancelled. */
export interface PageAbort {
  readonly code: string;
  readonly steps: number;
}

/** GPU buffers of the page that were made and not destroyed. */
let liveBuffers = 0;

function countBuffers(): void {
  const scope = globalThis as unknown as Record<
    "GPUDevice" | "GPUBuffer",
    { prototype: Record<string, (...args: unknown[]) => unknown> } | undefined
  >; // no types without a package
  const { GPUDevice: device, GPUBuffer: buffer } = scope;
  if (!device || !buffer) return;
  const gone = new WeakSet<object>();
  const { createBuffer } = device.prototype;
  const { destroy } = buffer.prototype;
  device.prototype["createBuffer"] = function (this: unknown, ...args) {
    liveBuffers += 1;
    return createBuffer!.apply(this, args);
  };
  buffer.prototype["destroy"] = function (this: object, ...args) {
    if (!gone.has(this)) liveBuffers -= 1;
    gone.add(this);
    return destroy!.apply(this, args);
  };
}

/** The last session of a device takes its compiled shaders with it, so one of each kind stays. */
const open: Trainer[] = [];

async function trainerOf(name: DeviceNetName, where: Where): Promise<Trainer> {
  const wasmPaths = new URL("/ort/", globalThis.location.href).href;
  const trainer = await openDeviceNet(name, { ...where, wasmPaths });
  open.push(trainer);
  return trainer;
}

async function train(name: DeviceNetName, where: Where, steps: number): Promise<PageSteps> {
  const trainer = await trainerOf(name, where);
  const done = await deviceSteps(name, trainer, steps);
  const { report, verification } = await trainer.prune({ relative: 0.8 });
  const { provider, updates } = trainer;
  return { ...done, provider, updates, removed: report.removed.length, equal: verification?.equal ?? false };
}

/** Live GPU buffers after `warm` steps and after each of the steps behind them. */
async function buffersOverSteps(name: DeviceNetName, warm: number, steps: number): Promise<number[]> {
  const trainer = await trainerOf(name, { provider: "webgpu", updates: "graph" });
  const counts: number[] = [];
  const onProgress: FitOptions["onProgress"] = ({ step }) => {
    if (step >= warm) counts.push(liveBuffers);
  };
  await trainer.fit(deviceBatches(name, warm + steps), { onProgress });
  return counts;
}

/** Training without end, cancelled by the given tick of a timer; ticks before the first step do not count. */
async function abortedFit(name: DeviceNetName, where: Where, ticks: number): Promise<PageAbort> {
  const trainer = await trainerOf(name, where);
  const controller = new AbortController();
  let ticked = 0;
  const timer = setInterval(() => {
    if (trainer.step > 0) ticked += 1;
    if (ticked === ticks) controller.abort();
  }, 10);
  const code = await trainer.fit(deviceBatches(name, 1e6), { signal: controller.signal }).then(
    () => "none",
    (error: unknown) => (error instanceof DgateError ? error.code : String(error)),
  );
  clearInterval(timer);
  return { code, steps: trainer.step };
}

/** What the test calls in the page. */
export const page = { train, buffersOverSteps, abortedFit };

countBuffers();
Object.assign(globalThis, { trainPage: page });
