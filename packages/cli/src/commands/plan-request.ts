import { DgateError, parsePlan, type PrunePlan } from "@dgate/core";
import { findSites, type Graph, type Normalisation, type PlanOptions, planFrom } from "@dgate/onnx";
import { type Command, Option } from "commander";
import { readWhole } from "../io/files.ts";
import { namedSize, numberOrNamed, realNumber, wholeNumber } from "./arguments.ts";
import type { ModelFile } from "./model-file.ts";

/** What to prune, as the options of `dgate prune` say it. */
export interface PlanFlags {
  readonly sparsity?: number;
  readonly keep?: number;
  readonly macs?: number;
  readonly parameters?: number;
  readonly bytes?: number;
  readonly plan?: string;
  readonly criterion: "l2" | "l2-coupled" | "gates" | "random";
  readonly global?: boolean;
  readonly normalise?: Normalisation;
  readonly align?: number | Readonly<Record<string, number>>;
  readonly minimum?: number;
  readonly maxSparsity?: number;
  readonly dim?: Readonly<Record<string, number>>;
  readonly sites?: string[];
  readonly seed: number;
}

const targets = ["sparsity", "keep", "macs", "parameters", "bytes", "plan"] as const;
const budgets: readonly string[] = ["macs", "parameters", "bytes"];

/** Adds the options that say what to prune. */
export function addPlanOptions(command: Command): Command {
  const fraction = realNumber({ above: 0, most: 1 });
  return command
    .option(
      "--sparsity <s>",
      "fraction of the groups that goes, of each site",
      realNumber({ least: 0, below: 1 }),
    )
    .option("--keep <k>", "fraction of the groups that stays, of each site", fraction)
    .option("--macs <f>", "budget: fraction of the multiply–adds that may stay", fraction)
    .option("--parameters <f>", "budget: fraction of the parameters that may stay", fraction)
    .option("--bytes <f>", "budget: fraction of the bytes of the weights that may stay", fraction)
    .option("--plan <file>", "JSON plan of what stays")
    .addOption(
      new Option("--criterion <name>", "which groups stay")
        .choices(["l2", "l2-coupled", "gates", "random"])
        .default("l2"),
    )
    .option("--global", "rank the groups of all sites together (default for a budget)")
    .option("--no-global", "take the same fraction of each site for a budget too")
    .addOption(
      new Option(
        "--normalise <how>",
        "how scores of different sites are made comparable (default: mean)",
      ).choices(["none", "max", "mean", "size"]),
    )
    .option("--align <n>", "keep multiples of n channels; or by kind: filters=16,neurons=4", numberOrNamed)
    .option("--minimum <n>", "groups of each site that stay at least", wholeNumber(1))
    .option(
      "--max-sparsity <s>",
      "fraction of the groups of each site that goes at most",
      realNumber({ least: 0, most: 1 }),
    )
    .option(
      "--dim <name=size>",
      "size of an open dimension, for MACs and the proof; may be repeated",
      namedSize,
    )
    .option(
      "--sites <names>",
      "sites to prune, by name or kind, parted by commas (default: all but inputs, queries, headDims, layers and dimensions)",
      (text: string) => text.split(","),
    )
    .option("--seed <n>", "of --criterion random and of the inputs of the proof", wholeNumber(0), 1);
}

/** Options that shape a plan, which a plan file is already. */
const shaping = {
  sites: "--sites",
  align: "--align",
  minimum: "--minimum",
  maxSparsity: "--max-sparsity",
  global: "--global or --no-global",
  normalise: "--normalise",
} as const;

/**
 * What the options aim at: one of ratio, budgets and plan file.
 *
 * @throws DgateError `OPTION` for none or several, and for a plan file with options that it leaves nothing to
 */
export function targetOf(flags: PlanFlags): Readonly<Record<string, number | string>> {
  const given = targets.filter((name) => flags[name] !== undefined);
  if (given.length === 0 || (given.length > 1 && !given.every((name) => budgets.includes(name)))) {
    throw new DgateError(
      "OPTION",
      "prune: give one of --sparsity, --keep and --plan, or a budget (--macs, --parameters, --bytes).",
    );
  }
  const idle = Object.entries(shaping).find(([name]) => flags[name as keyof typeof shaping] !== undefined); // a key of it
  if (flags.plan !== undefined && idle) {
    throw new DgateError("OPTION", `prune: --plan ${flags.plan} says what stays; leave out ${idle[1]}.`);
  }
  return Object.fromEntries(given.map((name) => [name, flags[name]!]));
}

/**
 * The plan that the options ask for.
 *
 * @param gated the model with its gates, if the file has them and `graph` is what they fold to
 * @throws DgateError with the path of the model or of the plan file
 */
export async function planOf(
  { path, graph }: ModelFile,
  flags: PlanFlags,
  gated?: Graph,
): Promise<PrunePlan> {
  if (flags.plan !== undefined) return readPlan(flags.plan);
  const { sites } = flags;
  try {
    return planFrom(findSites(graph), { ...optionsOf(flags), ...(gated && { gated }) });
  } catch (error) {
    if (!(error instanceof DgateError)) throw error;
    const place = sites ? `${path}: --sites ${sites.join(",")}` : path;
    throw new DgateError(error.code, `${place}: ${error.message.replace(/^plan: /, "")}`, { cause: error });
  }
}

function optionsOf(flags: PlanFlags): PlanOptions {
  const { criterion, seed, global, maxSparsity, dim, sparsity, keep, macs, parameters, bytes } = flags;
  const { normalise, align, minimum, sites } = flags;
  return {
    criterion,
    seed,
    ...defined({ sparsity, keep, macs, parameters, bytes, normalise, align, minimum, sites }),
    ...(dim && { dims: dim }),
    ...(maxSparsity !== undefined && { maximumSparsity: maxSparsity }),
    ...(global !== undefined && { scope: global ? "global" : "site" }),
  };
}

/** Without the entries that are not given. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // Object.fromEntries forgets the keys, which are those of T.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

async function readPlan(path: string): Promise<PrunePlan> {
  const text = new TextDecoder().decode(await readWhole(path));
  try {
    return parsePlan(text);
  } catch (error) {
    if (!(error instanceof DgateError)) throw error;
    throw new DgateError(
      error.code,
      `${path}: not a plan: ${error.message.replace(/^plan: |\.$/g, "")}; make one with dgate prune --write-plan.`,
      { cause: error },
    );
  }
}
