import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import type { RunRecord } from "./run-record.ts";

/** What sweeps themselves write is no change of the code. */
const written = ["experiments/results", "docs"].map((path) => `:(top,exclude)${path}`);

/** What a run was made with: commit, version of Node, processor. */
export function provenance(): Pick<RunRecord, "commit" | "versions" | "cpu"> {
  const changed = git("status", "--porcelain", "--", ":/", ...written) !== "";
  return {
    commit: `${git("rev-parse", "--short", "HEAD") || "unknown"}${changed ? "+" : ""}`,
    versions: { node: process.versions.node },
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
