import { formatTable } from "@dgate/core";
import { countCosts, findSites } from "@dgate/onnx";
import type { Command } from "commander";
import { type Context, printResult } from "../io/context.ts";
import { openModel } from "./model-file.ts";

/** What `dgate inspect --json` prints. */
interface InspectDocument {
  readonly path: string;
  readonly parameters: number;
  /** Multiply–adds of one forward pass; open dimensions count as 1. */
  readonly macs: number;
  readonly bytes: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly sites: readonly SiteEntry[];
  readonly attention: readonly AttentionEntry[];
}

interface SiteEntry {
  readonly name: string;
  readonly kind: string;
  readonly groups: number;
  readonly prunable: boolean;
  /** Why not, where it is not. */
  readonly reason: string | null;
}

interface AttentionEntry {
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** `dgate inspect MODEL`. */
export function addInspect(program: Command, context: Context): void {
  program
    .command("inspect")
    .description("parameters, MACs, bytes, operators, sites and their groups of an ONNX model")
    .argument("<model>", "ONNX file")
    .option("--json", "print one JSON document on stdout", false)
    .action(async (path: string, { json }: { json: boolean }) => {
      const document = await inspect(path);
      printResult(context, json, document, describe(document));
    });
}

async function inspect(path: string): Promise<InspectDocument> {
  const { graph, sizeBytes } = await openModel(path);
  const { parameters, macs } = countCosts(graph);
  const operators: Record<string, number> = {};
  for (const { op } of graph.nodes()) operators[op] = (operators[op] ?? 0) + 1;
  const sites = findSites(graph).map(({ name, kind, groups, prunable }): SiteEntry => {
    const reason = prunable === true ? null : prunable;
    return { name, kind, groups, prunable: reason === null, reason };
  });
  return { path, parameters, macs, bytes: sizeBytes, operators, sites, attention: [] };
}

function describe({ path, parameters, macs, bytes, operators, sites }: InspectDocument): string {
  const byCount = Object.entries(operators).sort(([, a], [, b]) => b - a);
  const rows = sites.map(({ name, kind, groups, reason }) => [name, kind, groups, reason ?? "yes"]);
  return [
    `${path}: ${parameters.toLocaleString("en")} parameters, ${macs.toLocaleString("en")} MACs, ${bytes.toLocaleString("en")} bytes`,
    `operators: ${byCount.map(([op, count]) => `${count} ${op}`).join(", ")}`,
    "",
    sites.length > 0 ? formatTable(["site", "kind", "groups", "prunable"], rows) : "no sites",
  ].join("\n");
}
