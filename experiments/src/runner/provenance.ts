import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import type { RunRecord } from "./run-record.ts";

/** What sweeps themselves write is no change of the code. */
const written = ["experiments/results", "docs"].map((path) => `:(top,exclude)${path}`);

/** Packages that results depend on. */
const packages = ["onnxruntime-node", "onnxruntime-web", "@tensorflow/tfjs"] as const;

const { resolve } = createRequire(import.meta.url);

/** As the package itself says; packages hide their package.json, so that it is looked for above their main file. */
function versionOf(name: string): string {
  for (let folder = dirname(resolve(name)); dirname(folder) !== folder; folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (!existsSync(file)) continue;
    const found = JSON.parse(readFileSync(file, "utf8")) as {
      readonly name?: string;
      readonly version?: string;
    };
    if (found.name === name) return found.version ?? "unknown";
  }
  return "unknown";
}

/** What a run was made with: commit, versions, processor. */
export function provenance(): Pick<RunRecord, "commit" | "versions" | "cpu"> {
  const changed = git("status", "--porcelain", "--", ":/", ...written) !== "";
  return {
    commit: `${git("rev-parse", "--short", "HEAD") || "unknown"}${changed ? "+" : ""}`,
    versions: {
      node: process.versions.node,
      ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
    },
    cpu: cpus()[0]?.model ?? "unknown",
  };
}

/** Empty outside of a repository. */
function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return "";
  }
}
