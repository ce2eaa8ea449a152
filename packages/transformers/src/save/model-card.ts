import type { ModelSize } from "@dgate/onnx";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import type { BaseCard } from "./base-card.ts";
import { qualitySection } from "./card-quality.ts";
import { count, table } from "./markdown.ts";
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
  const { learned } = pruned;
  const blocks = remainingBlocks(pruned);
  const sections = [
    frontMatter(pruned, facts),
    `# ${facts.name}`,
    `${baseOf(files.name)}, ${removedWhat(blocks)} by [D-Gate](https://github.com/dgate-js/dgate). ` +
      `It runs in transformers.js ${listed(facts.versions.map(String))} as a \`${kind.task}\` pipeline.`,
    ...removalSection(blocks),
    "## Size",
    sizeTable(facts.before, facts.after),
    `Multiply–adds are counted for ${dimsText(pruned)}.`,
    fileTable(facts),
    ...(learned ? qualitySection(learned) : []),
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

const groupNames = {
  heads: "attention heads",
  ffn: "neurons",
  layers: "residual branches",
} as const satisfies Record<RemainingBlock["group"], string>;

/** `with attention heads and neurons removed for good`, of what there was to remove. */
function removedWhat(blocks: readonly RemainingBlock[]): string {
  const smaller = blocks.filter(({ kept, groups }) => kept.length < groups);
  const groups = new Set(smaller.map(({ group }) => group));
  if (groups.size === 0) return "whole, written";
  return `with ${listed([...groups].map((group) => groupNames[group]))} removed for good`;
}

function removalSection(blocks: readonly RemainingBlock[]): string[] {
  const several = new Set(blocks.map(({ file }) => file)).size > 1;
  const place = ({ file, layer }: RemainingBlock): string => (several ? `${file} ${layer}` : String(layer));
  const of = (group: RemainingBlock["group"]): RemainingBlock[] =>
    blocks.filter((block) => block.group === group);
  const [heads, ffn, layers] = [of("heads"), of("ffn"), of("layers")];
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

const stay = (what: string, own: readonly RemainingBlock[]): string =>
  `${sum(own, ({ kept }) => kept.length)} of ${sum(own, ({ groups }) => groups)} ${what} stay.`;

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

const countOf = ({ kept, groups }: RemainingBlock): string => `${kept.length} of ${groups}`;

const strip = ({ kept, groups }: RemainingBlock): string =>
  Array.from({ length: groups }, (_, group) => (kept.includes(group) ? "●" : "·")).join("");

function sizeTable(before: ModelSize, after: ModelSize): string {
  const row = (what: string, key: keyof ModelSize): string[] => {
    const part = before[key] > 0 ? `${((100 * after[key]) / before[key]).toFixed(1)} %` : "";
    return [what, count(before[key]), count(after[key]), part];
  };
  const rows = [
    row("parameters", "parameters"),
    row("multiply–adds", "macs"),
    row("bytes, before fusing", "bytes"),
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

function checkSection({ files }: PrunedTransformer, { checks, fused }: CardFacts): string[] {
  const largest = Math.max(0, ...files.map(({ pruned }) => pruned?.verification.maxAbsDiff ?? 0));
  const [first] = fused;
  const operators = Object.entries(first?.operators ?? {}).map(([op, times]) => `${times} × ${op}`);
  const runs = checks.map(({ dtype, maxAbsDiff, maxRelDiff }) => [
    dtype,
    maxAbsDiff.toExponential(1),
    maxRelDiff.toExponential(1),
  ]);
  return [
    "## Checks",
    `On random inputs, the pruned model differs by at most ${largest.toExponential(1)} from the model with the same groups zeroed.` +
      (operators.length > 0 ? ` Fused operators of \`${first!.path}\`: ${operators.join(", ")}.` : ""),
    ...(runs.length > 0
      ? [
          "Each file was run; its outputs differ from those of the pruned float model by:",
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
