import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
const root: string = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** The command as `npx dgate` runs it: built. */
const command = join(root, "packages/cli/bin/dgate.mjs");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DgateOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Sends the signal as soon as stderr matches. */
  readonly kill?: { readonly when: RegExp; readonly signal: NodeJS.Signals };
}

/** Runs `dgate` in a child process. */
export function dgate(
  args: readonly string[],
  { env = {}, cwd = root, kill }: DgateOptions = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [command, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr, killed] = ["", "", false];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    if (!kill || killed || !kill.when.test(stderr)) return;
    killed = true;
    child.kill(kill.signal);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** A training that takes a few seconds. */
export const tinyTraining: readonly string[] = (
  "train --data digits --arch mlp:24-16 --backend cpu --seed 3 " +
  "--train-size 300 --test-size 100 --epochs 8 --batch 25 --lambda 4e-2"
).split(" ");
