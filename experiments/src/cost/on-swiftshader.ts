import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import type { StepResult, StepSetup } from "./measure-steps.ts";
import type { Answer } from "./webgpu-process.ts";

/** Debian's Chromium brings a Vulkan loader and a driver that computes on the CPU. */
const chromium = "/usr/lib/chromium";
const driver = join(chromium, "vk_swiftshader_icd.json");

/** After which a driver is taken to hang. */
const timeoutMs = 180_000;

/**
 * Measures in a process of its own, as drivers of GPUs may hang or take their process along: with the machine's driver, and where there is none with
 * SwiftShader, which takes too long for networks that are not tiny.
 */
export async function measureOnWebgpu(setup: StepSetup): Promise<StepResult> {
  const own = await inProcess(setup, {});
  if (!("absent" in own) || !existsSync(driver)) return own;
  // The loader's path must be there when a process begins.
  const found = await inProcess(
    { ...setup, tiny: true },
    { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: chromium },
  );
  return "absent" in found ? found : { ...found, device: `${found.device} on SwiftShader (a CPU)` };
}

function inProcess(setup: StepSetup, env: Readonly<Record<string, string>>): Promise<StepResult> {
  const child = fork(new URL("webgpu-process.ts", import.meta.url), {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "ignore", "ipc"], // a driver that is missing says so on stderr
  });
  return new Promise<StepResult>((resolve, reject) => {
    const absent = (reason: string): void => resolve({ absent: `webgpu: ${reason}` });
    const timer = setTimeout(() => absent(`no answer in ${timeoutMs / 1000} s`), timeoutMs);
    child.once("message", (message) => {
      const answer = message as Answer; // what webgpu-process.ts sends
      if ("result" in answer) resolve(answer.result);
      else reject(new DgateError("CHECK", `webgpu: ${answer.failure}`));
    });
    child.once("error", ({ message }) => absent(message));
    child.once("exit", (code, signal) => {
      // A driver takes the process along by a signal; an exit without an answer is our own failure.
      if (signal) absent(`the process ended with ${signal}`);
      else reject(new DgateError("CHECK", `webgpu: the process ended with ${code} and no answer.`));
    });
    child.once("spawn", () => child.send(setup));
    child.once("exit", () => clearTimeout(timer));
  }).finally(() => child.kill("SIGKILL"));
}
