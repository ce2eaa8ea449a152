import { formatTable } from "@dgate/core";
import { type AttentionLayer, countCosts, findAttention, findSites } from "@dgate/onnx";
import type { Command } from "commander";
import { type Context, printResult } from "../io/context.ts";
import { namedSize } from "./arguments.ts";
import { checkDims, openModel } from "./model-file.ts";

/** What `dgate inspect --json` prints. */
interface InspectDocument {
  readonly path: string;
  readonly parameters: number;
  /** Multiply–adds of one forward pass; open dimensions that `dims` gives no size count as 1. */
  readonly macs: number;
  readonly dims: Readonly<Record<string, number>>;
  /** Open dimensions that were counted as 1. */
  readonly assumed: readonly string[];
  readonly bytes: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly sites: readonly SiteEntry[];
  readonly attention: readonly AttentionLayer[];
}

interface SiteEntry {
  readonly name: string;
  readonly kind: string;
  readonly groups: number;
  readonly prunable: boolean;
  /** Why not, where it is not. */
  readonly reason: string | null;
}

/** `dgate inspect MODEL`. */
export function addInspect(program: Command, context: Context): void {
  program
    .command("inspect")
    .description("parameters, MACs, bytes, operators, sites and their groups of an ONNX model")
    .argument("<model>", "ONNX file")
    .option("--dim <name=size>", "size of an open dimension, for the MACs; may be repeated", namedSize)
    .option("--json", "print one JSON document on stdout", false)
    .action(async (path: string, { json, dim = {} }: InspectFlags) => {
      const document = await inspect(path, dim);
      printResult(context, json, document, describe(document));
    });
}

interface InspectFlags {
  readonly json: boolean;
  readonly dim?: Readonly<Record<string, number>>;
}

async function inspect(path: string, dims: Readonly<Record<string, number>>): Promise<InspectDocument> {
  const file = await openModel(path);
  const { graph, sizeBytes } = file;
  checkDims(file, dims);
  const { parameters, macs, assumed } = countCosts(graph, dims);
  const operators: Record<string, number> = {};
  for (const { op } of graph.nodes()) operators[op] = (operators[op] ?? 0) + 1;
  const sites = findSites(graph).map(({ name, kind, groups, prunable }): SiteEntry => {
    const reason = prunable === true ? null : prunable;
    return { name, kind, groups, prunable: reason === null, reason };
  });
  const attention = findAttention(graph);
  return { path, parameters, macs, dims, assumed, bytes: sizeBytes, operators, sites, attention };
}

function describe(document: InspectDocument): string {
  const { path, parameters, macs, assumed, bytes, operators, sites, attention } = document;
  const byCount = Object.entries(operators).sort(([, a], [, b]) => b - a);
  const rows = sites.map(({ name, kind, groups, reason }) => [name, kind, groups, reason ?? "yes"]);
  const note = assumed.length > 0 ? ` (${assumed.map((name) => `${name} = 1`).join(", ")})` : "";
  return [
    `${path}: ${parameters.toLocaleString("en")} parameters, ${macs.toLocaleString("en")} MACs${note}, ${bytes.toLocaleString("en")} bytes`,
    `operators: ${byCount.map(([op, count]) => `${count} ${op}`).join(", ")}`,
    "",
    sites.length > 0 ? formatTable(["site", "kind", "groups", "prunable"], rows) : "no sites",
    ...(attention.length > 0 ? ["", describeAttention(attention)] : []),
  ].join("\n");
}

function describeAttention(layers: readonly AttentionLayer[]): string {
  const rows = layers.map(({ name, heads, kvHeads, headDim }) => [name, heads, kvHeads, headDim]);
  return formatTable(["attention", "heads", "KV heads", "head dim"], rows);
}
