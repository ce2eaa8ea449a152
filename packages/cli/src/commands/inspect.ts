import { formatTable } from "@dgate/core";
import type { AttentionLayer } from "@dgate/onnx";
import type { FilesOptions } from "@dgate/transformers";
import type { Command } from "commander";
import { type Context, printResult } from "../io/context.ts";
import { namedSize } from "./arguments.ts";
import { type InspectDocument, inspectFile } from "./inspect-file.ts";
import { addModelOptions, checkModelArgument } from "./model-argument.ts";

interface InspectFlags extends Pick<FilesOptions, "revision" | "subfolder" | "cacheDir"> {
  readonly dtype?: string;
  readonly local: boolean;
  readonly json: boolean;
  readonly dim?: Readonly<Record<string, number>>;
}

/** `dgate inspect MODEL`: of an ONNX file, a model folder or an id of the hub. */
export function addInspect(program: Command, context: Context): void {
  const command = program
    .command("inspect")
    .description("parameters, MACs, bytes, operators, sites and their groups, attention layers and heads")
    .argument("<model>", "ONNX file, model folder (config.json, onnx/*.onnx), or an id of the hub")
    .option(
      "--dim <name=size>",
      "size of an open dimension, for the MACs; may be repeated (default: 1; of a model folder 128 tokens)",
      namedSize,
    );
  addModelOptions(command, { task: false })
    .option("--json", "print one JSON document on stdout", false)
    .action(async (model: string, flags: InspectFlags) => {
      const document = await inspect(model, flags);
      printResult(context, flags.json, document, describe(document));
    });
}

async function inspect(model: string, { dim = {}, ...flags }: InspectFlags): Promise<InspectDocument> {
  const { path, kind } = await checkModelArgument("inspect", model);
  if (kind === "file") return inspectFile(path, dim);
  const { inspectFolder } = await import("./inspect-folder.ts");
  return inspectFolder({ model, path, kind }, { ...flags, dims: dim });
}

function describe(document: InspectDocument): string {
  const { path, parameters, macs, dims, assumed, bytes, operators, sites, attention, files = [] } = document;
  const byCount = Object.entries(operators).sort(([, a], [, b]) => b - a);
  const rows = sites.map(({ name, kind, groups, reason }) => [name, kind, groups, reason ?? "yes"]);
  const sizes = [
    ...(files.length > 0 ? Object.entries(dims).map(([name, size]) => `${name} = ${size}`) : []),
    ...assumed.map((name) => `${name} = 1`),
  ];
  const note = sizes.length > 0 ? ` (${sizes.join(", ")})` : "";
  return [
    `${path}: ${parameters.toLocaleString("en")} parameters, ${macs.toLocaleString("en")} MACs${note}, ${bytes.toLocaleString("en")} bytes`,
    ...(files.length > 0 ? [`files: ${files.map((file) => file.path).join(", ")}`] : []),
    `operators: ${byCount.map(([op, count]) => `${count} ${op}`).join(", ")}`,
    "",
    sites.length > 0 ? formatTable(["site", "kind", "groups", "prunable"], rows) : "no sites",
    ...(attention.length > 0 ? ["", attentionTable(attention)] : []),
    ...(document.blocks ? ["", blockTable(document)] : []),
  ].join("\n");
}

function attentionTable(layers: readonly AttentionLayer[]): string {
  return formatTable(
    ["attention", "operator", "heads", "key–value heads", "head dim", "prunable"],
    layers.map(({ name, form, heads, kvHeads, headDim, prunable }) => {
      return [name, form, heads, kvHeads, headDim, prunable === true ? "yes" : prunable];
    }),
  );
}

/** What `dgate learn` can gate, layer by layer, and why not the rest. */
function blockTable({ blocks = [], notGated = [] }: InspectDocument): string {
  const rows = [
    ...blocks.map(({ kind, layer, groups, site }) => [`${kind} ${layer}`, groups, site, "yes"]),
    ...notGated.map(({ kind, place, reason }) => [kind, "", place, reason]),
  ];
  return rows.length > 0
    ? formatTable(["dgate learn", "groups", "site", "gated"], rows)
    : "dgate learn finds no heads, neurons or branches to gate";
}
