import type { ModelSize } from "@dgate/onnx";
import type { LearnReport, Quality } from "../learn/learn-report.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import type { BaseCard } from "./base-card.ts";
import { type RemainingBlock, remainingBlocks } from "./removed-blocks.ts";
import type { SaveReport } from "./save-options.ts";
import { usageOf } from "./usage.ts";

/** What a model card tells of. */
export interface CardFacts extends Omit<SaveReport, "folder"> {
  /** Name of the folder. */
  readonly name: string;
  readonly base: BaseCard;
}

/** The README.md of a written model: what was removed from which model, and what was measured. */
export function modelCard(pruned: PrunedTransformer, facts: CardFacts): string {
  const { kind, files } = pruned.gates.internals.model;
  const { learned } = pruned.gates;
  const sections = [
    frontMatter(pruned, facts),
    `# ${facts.name}`,
    `${baseOf(files.name)}, with attention heads and neurons removed for good by [D-Gate](https://github.com/dgate-js/dgate). ` +
      `It runs in transformers.js ${listed(facts.versions.map(String))} as a \`${kind.task}\` pipeline.`,
    ...removalSection(remainingBlocks(pruned)),
    "## Size",
    sizeTable(facts.before, facts.after),
    `Multiply–adds are counted for ${dimsText(pruned)}.`,
    fileTable(facts),
    ...(learned && isOf(learned, pruned) ? qualitySection(learned) : []),
    ...checkSection(pruned, facts),
    "## Use",
    usageOf(kind.task, facts),
    "## Licence",
    licenceText(files.name, facts.base),
  ];
  return `${sections.join("\n\n")}\n`;
}

/** Whether a name is an id of the hub rather than a path. */
const isHubId = (name: string): boolean => /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name);

const baseOf = (name: string): string =>
  isHubId(name) ? `[${name}](https://huggingface.co/${name})` : `The model \`${lastPart(name)}\``;

const lastPart = (path: string): string => path.split(/[\\/]/).findLast((part) => part !== "") ?? path;

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

function frontMatter({ gates }: PrunedTransformer, { base }: CardFacts): string {
  const { files, kind } = gates.internals.model;
  const tag = kind.task === "sentiment-analysis" ? "text-classification" : kind.task;
  const lines = [
    ...base.lines,
    ...(isHubId(files.name) ? [`base_model: ${files.name}`] : []),
    "library_name: transformers.js",
    `pipeline_tag: ${tag}`,
    "tags:",
    "- dgate",
    "- pruned",
    "- onnx",
  ];
  return ["---", ...lines, "---"].join("\n");
}

function removalSection(blocks: readonly RemainingBlock[]): string[] {
  const several = new Set(blocks.map(({ file }) => file)).size > 1;
  const place = ({ file, layer }: RemainingBlock): string => (several ? `${file} ${layer}` : String(layer));
  const of = (group: RemainingBlock["group"]): RemainingBlock[] =>
    blocks.filter((block) => block.group === group);
  const [heads, ffn, layers] = [of("heads"), of("ffn"), of("layers")];
  const stay = (what: string, own: readonly RemainingBlock[]): string =>
    `${sum(own, ({ kept }) => kept.length)} of ${sum(own, ({ groups }) => groups)} ${what} stay.`;
  return [
    "## What was removed",
    ...(heads.length > 0
      ? [
          stay("attention heads", heads),
          table(
            ["layer", "heads", "kept (●) and removed (·)"],
            heads.map((block) => [place(block), countOf(block), strip(block)]),
          ),
        ]
      : []),
    ...(ffn.length > 0
      ? [
          stay("feed-forward neurons", ffn),
          table(
            ["layer", "neurons"],
            ffn.map((block) => [place(block), countOf(block)]),
          ),
        ]
      : []),
    ...(layers.length > 0 ? [stay("residual branches", layers)] : []),
  ];
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

const countOf = ({ kept, groups }: RemainingBlock): string => `${kept.length} of ${groups}`;

const strip = ({ kept, groups }: RemainingBlock): string =>
  Array.from({ length: groups }, (_, group) => (kept.includes(group) ? "●" : "·")).join("");

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map((_, at) => (at === 0 ? "---" : "---:"))), ...rows.map(line)].join(
    "\n",
  );
}

const count = (value: number): string => Math.round(value).toLocaleString("en-US");

function sizeTable(before: ModelSize, after: ModelSize): string {
  const row = (what: string, key: keyof ModelSize): string[] => {
    const part = before[key] > 0 ? `${((100 * after[key]) / before[key]).toFixed(1)} %` : "";
    return [what, count(before[key]), count(after[key]), part];
  };
  const rows = [
    row("parameters", "parameters"),
    row("multiply–adds", "macs"),
    row("bytes of weights", "bytes"),
  ];
  return table(["", "before", "after", "stays"], rows);
}

function dimsText({ files }: PrunedTransformer): string {
  const sizes = Object.entries(files[0]?.dims ?? {}).map(([name, size]) => `\`${name}\` ${size}`);
  return sizes.length > 0 ? sizes.join(", ") : "one run";
}

function fileTable({ files }: CardFacts): string {
  const rows = files
    .filter(({ path }) => /\.onnx(_data)?$/.test(path))
    .map(({ path, sizeBytes, linkOf }) => [
      `\`${path}\``,
      count(sizeBytes),
      linkOf === undefined ? "" : `the same as \`${linkOf}\``,
    ]);
  return table(["file", "bytes", ""], rows);
}

/** Whether a report speaks of the groups that stayed: prune can be asked for others than were learned. */
function isOf({ kept: learned }: LearnReport, { kept, gates }: PrunedTransformer): boolean {
  return gates.internals.parts
    .flatMap(({ blocks }) => blocks)
    .every(({ name, group, groups }) => {
      const wanted = learned.get(name);
      if (!wanted) return !kept.has(name);
      const stayed = kept.get(name) ?? Array.from({ length: groups }, (_, i) => i);
      // Neurons that were off may have stayed, as zeros, so that their number suits the runtime.
      return (
        wanted.every((each) => stayed.includes(each)) &&
        (group === "ffn" || stayed.length === Math.max(wanted.length, kept.has(name) ? 0 : groups))
      );
    });
}

function qualitySection({ dense, pruned, data, objective, steps }: LearnReport): string[] {
  const names = Object.keys(dense.quality);
  const number = (quality: Quality, name: string): string => quality[name]?.toFixed(4) ?? "";
  const rows = names.map((name) => [name, number(dense.quality, name), number(pruned.quality, name)]);
  if (dense.latency && pruned.latency) {
    rows.push(["latency, median ms", dense.latency.medianMs.toFixed(2), pruned.latency.medianMs.toFixed(2)]);
  }
  return [
    "## Quality",
    table(["on held-out data", "dense", "pruned"], rows),
    `${data.heldOut} examples were held out; the gates were learned from ${data.examples} others in ${steps} steps (objective: ${objective}).`,
  ];
}

function checkSection({ files }: PrunedTransformer, { checks, fused }: CardFacts): string[] {
  const largest = Math.max(0, ...files.map(({ pruned }) => pruned?.verification.maxAbsDiff ?? 0));
  const operators = Object.entries(fused[0]?.operators ?? {}).map(([op, times]) => `${times} × ${op}`);
  const runs = checks.map(({ dtype, maxAbsDiff, maxRelDiff }) => [
    dtype,
    maxAbsDiff.toExponential(1),
    maxRelDiff.toExponential(1),
  ]);
  return [
    "## Checks",
    `On random inputs, the pruned model differs by at most ${largest.toExponential(1)} from the model with the same groups zeroed.` +
      (operators.length > 0 ? ` Fused operators: ${operators.join(", ")}.` : ""),
    ...(runs.length > 0
      ? [
          "Each file was opened and run; its outputs differ from those of the pruned float model by:",
          table(["dtype", "largest difference", "relative"], runs),
        ]
      : []),
  ];
}

function licenceText(name: string, { license }: BaseCard): string {
  const whose = isHubId(name) ? `\`${name}\`` : `the model \`${lastPart(name)}\``;
  return license === undefined
    ? `These weights are derived from ${whose}, of which no licence was found; its terms hold for them too.`
    : `These weights are derived from ${whose}, which is under the licence \`${license}\`; its terms hold for them too.`;
}
