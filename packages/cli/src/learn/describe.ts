import { isAbsolute } from "node:path";
import { formatTable } from "@dgate/core";
import type { LearnDocument } from "./document.ts";
import { qualityFigure } from "./progress.ts";

/** A run for people: sizes, quality and latency before and after, what stays, and how to open it. */
export function describeLearning(document: LearnDocument): string {
  const { model, out, task, data, steps, seconds, lambda, maxAbsDiff, dtypes, files, warnings } = document;
  const counts = [
    `${data.examples} examples learned from, ${data.heldOut} held out`,
    ...(data.truncated > 0 ? [`${data.truncated} cut to ${data.maxLength} tokens`] : []),
    ...(data.empty > 0 ? [`${data.empty} empty`] : []),
  ];
  return [
    `${model} → ${out}`,
    `${counts.join(", ")}; ${steps} steps, ${seconds} s, λ = ${lambda.toExponential(1)}`,
    "",
    sizeTable(document),
    "",
    stageTable(document),
    "",
    blockTable(document),
    "",
    `masked and pruned outputs differ by at most ${maxAbsDiff.toExponential(1)}`,
    ...warnings.map((warning) => `note: ${warning}`),
    `wrote ${files.length} files to ${out} (${dtypes.join(", ")})`,
    `open it with pipeline(${JSON.stringify(task)}, ${JSON.stringify(pathOf(out))}, { dtype: ${JSON.stringify(dtypes[0])} })`,
  ].join("\n");
}

/** A relative path as transformers.js takes it: without a dot before it, it would be an id. */
const pathOf = (out: string): string => (isAbsolute(out) || out.startsWith(".") ? out : `./${out}`);

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

function sizeTable({ before, after }: LearnDocument): string {
  const keys = ["parameters", "macs", "bytes"] as const;
  return formatTable(
    ["", "parameters", "MACs", "bytes"],
    [
      ["before", ...keys.map((key) => before[key].toLocaleString("en"))],
      ["after", ...keys.map((key) => after[key].toLocaleString("en"))],
      ["left", ...keys.map((key) => percent(after[key], before[key]))],
    ],
  );
}

/** Quality on held-out data and latency, stage by stage. */
function stageTable({ quality, latency }: LearnDocument): string {
  const names = Object.keys(quality.dense).filter((name) => name in quality.pruned);
  const rows = (["dense", "gated", "pruned"] as const).map((stage) => [
    stage,
    ...names.map((name) => qualityFigure(name, quality[stage][name]!)),
    ...(latency ? [latency[stage]?.medianMs.toFixed(2) ?? ""] : []),
  ]);
  return formatTable(["held-out", ...names, ...(latency ? ["median ms"] : [])], rows);
}

/** Which heads stay, layer by layer; of neurons and branches how many. */
function blockTable({ blocks }: LearnDocument): string {
  const several = new Set(blocks.map(({ file }) => file)).size > 1;
  const rows = blocks.map(({ kind, file, layer, groups, kept }) => [
    `${several ? `${file} ` : ""}${kind} ${layer}`,
    groups,
    kept.length,
    kind === "heads" && kept.length < groups ? kept.join(" ") : kept.length === groups ? "all" : "",
  ]);
  return formatTable(["layer", "groups", "kept", "which"], rows);
}
