import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import type { RunRecord } from "./run-record.ts";

const require = createRequire(import.meta.url);
const measured = ["@tensorflow/tfjs", "onnxruntime-node"] as const;

/** What a run was made with: commit, versions, processor. */
export function provenance(): Pick<RunRecord, "commit" | "versions" | "cpu"> {
  const versions = measured.flatMap((name) => {
    const version = versionOf(name);
    return version === undefined ? [] : [[name, version] as const];
  });
  return {
    commit: `${git("rev-parse", "--short", "HEAD") || "unknown"}${git("status", "--porcelain") ? "+" : ""}`,
    versions: { node: process.versions.node, ...Object.fromEntries(versions) },
    cpu: cpus()[0]?.model ?? "unknown",
  };
}

/** `undefined` of a package that the experiments do not use. */
function versionOf(name: string): string | undefined {
  try {
    return (require(`${name}/package.json`) as { version: string }).version; // of every package.json
  } catch {
    return undefined;
  }
}

/** Empty outside of a repository. */
function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return "";
  }
}
