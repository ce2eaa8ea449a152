import { basename, dirname } from "node:path";
import { DgateError, formatTable, parsePlan, printPlan, type PrunePlan } from "@dgate/core";
import { findSites, mask, planFrom, prune, verify } from "@dgate/onnx";
import { externalDataPath, writeModelFile } from "@dgate/onnx/node";
import { type Command, Option } from "commander";
import { type Context, printResult, stopIfAborted } from "../io/context.ts";
import { prepareOutputs, readWhole, writeWhole } from "../io/files.ts";
import { realNumber, wholeNumber } from "./arguments.ts";
import { type ModelFile, openModel, runtimeFor } from "./model-file.ts";
import { describeRecovery, recoverPruned } from "./recover-pruned.ts";

interface PruneFlags {
  readonly out: string;
  readonly sparsity?: number;
  readonly keep?: number;
  readonly plan?: string;
  readonly writePlan?: string;
  readonly criterion: "l2" | "random";
  readonly sites?: string[];
  readonly calibrate?: string;
  readonly externalData: keyof typeof externalData;
  readonly seed: number;
  readonly force: boolean;
  readonly json: boolean;
}

/** The option `externalData` of `writeModelFile` by what --external-data takes. */
const externalData = { auto: "auto", always: true, never: false } as const;

/** `dgate prune MODEL -o OUT`. */
export function addPrune(program: Command, context: Context): void {
  const part = realNumber({ least: 0, below: 1 });
  program
    .command("prune")
    .description("remove groups of an ONNX model for real; written only if it equals the masked model")
    .argument("<model>", "ONNX file")
    .requiredOption("-o, --out <file>", "where to write the pruned model")
    .option("--sparsity <s>", "fraction of the groups of each site that goes", part)
    .option("--keep <k>", "fraction of the groups of each site that stays", realNumber({ above: 0, most: 1 }))
    .option("--plan <file>", "JSON plan of what stays")
    .option("--write-plan <file>", "also write the plan that was carried out")
    .addOption(new Option("--criterion <name>", "which groups stay").choices(["l2", "random"]).default("l2"))
    .option(
      "--sites <names>",
      "sites to prune, by name or kind, parted by commas (default: all but inputs)",
      (text: string) => text.split(","),
    )
    .option(
      "--calibrate <file>",
      "safetensors file of inputs: fit the surviving weights on them, without labels",
    )
    .addOption(
      new Option("--external-data <when>", "weights in OUT_data beside OUT; auto: as in MODEL, or past 2 GiB")
        .choices(Object.keys(externalData))
        .default("auto"),
    )
    .option("--seed <n>", "of --criterion random and of the inputs of the proof", wholeNumber(0), 1)
    .option("--force", "overwrite existing files", false)
    .option("--json", "print one JSON document on stdout", false)
    .action(async (path: string, flags: PruneFlags) => {
      const document = await pruneFile(path, flags, context);
      printResult(context, flags.json, document, describe(document));
    });
}

type PruneDocument = Awaited<ReturnType<typeof pruneFile>>;

async function pruneFile(path: string, flags: PruneFlags, context: Context) {
  const { out, writePlan, seed, force } = flags;
  const { signal } = context;
  if ([flags.sparsity, flags.keep, flags.plan].filter((value) => value !== undefined).length !== 1) {
    throw new DgateError("OPTION", "prune: give one of --sparsity, --keep and --plan.");
  }
  for (const file of [out, externalDataPath(out), writePlan])
    if (file) await prepareOutputs(dirname(file), [basename(file)], force);
  const file = await openModel(path);
  const { graph, sizeBytes } = file;
  stopIfAborted(signal, "prune");
  const plan = await planOf(file, flags);
  const { graph: pruned, report } = prune(graph, plan);
  const { maxAbsDiff, acceptable, quantized } = await verify(mask(graph, plan), pruned, {
    ...runtimeFor(sizeBytes, sizeBytes),
    signal,
    seed,
  });
  if (!acceptable) {
    throw new DgateError(
      "CHECK",
      `prune ${path}: the pruned model differs from the masked one by ${maxAbsDiff}; nothing was written. Please report the model.`,
    );
  }
  const recovered =
    flags.calibrate === undefined
      ? undefined
      : await recoverPruned(flags.calibrate, graph, { graph: pruned, report }, context);
  const written = await writeModelFile(out, recovered?.graph ?? pruned, {
    externalData: externalData[flags.externalData],
    signal,
  });
  if (writePlan) await writeWhole(writePlan, `${printPlan(plan)}\n`);
  return {
    before: { ...report.before, bytes: sizeBytes },
    after: { ...report.after, ...recovered?.size, bytes: written.sizeBytes },
    removed: report.removed,
    keptBack: report.keptBack,
    inputs: report.inputs,
    maxAbsDiff,
    quantized,
    ...(recovered && { recovery: recovered.recovery }),
    files: writePlan ? [...written.files, writePlan] : [...written.files],
  };
}

async function planOf({ path, graph }: ModelFile, flags: PruneFlags): Promise<PrunePlan> {
  if (flags.plan !== undefined) return readPlan(flags.plan);
  const { sparsity, keep, criterion, seed, sites } = flags;
  try {
    return planFrom(findSites(graph), {
      criterion,
      seed,
      ...(keep === undefined ? { sparsity: sparsity ?? 0 } : { keep }),
      ...(sites ? { sites } : {}),
    });
  } catch (error) {
    if (!(error instanceof DgateError)) throw error;
    const place = sites ? `${path}: --sites ${sites.join(",")}` : path;
    throw new DgateError(error.code, `${place}: ${error.message.replace(/^plan: /, "")}`, { cause: error });
  }
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

const sizeRow = (name: string, { parameters, macs, bytes }: PruneDocument["after"]): string[] => [
  name,
  ...[parameters, macs, bytes].map((value) => value.toLocaleString("en")),
];

function describe(document: PruneDocument): string {
  const { before, after, removed, keptBack, maxAbsDiff, quantized, recovery, files } = document;
  const lines = [
    formatTable(["", "parameters", "MACs", "bytes"], [sizeRow("before", before), sizeRow("after", after)]),
    "",
    formatTable(
      ["site", "groups", "kept"],
      removed.map(({ site, groups, kept }) => [site, groups, kept]),
    ),
    "",
    `masked and pruned outputs differ by at most ${maxAbsDiff.toExponential(1)}`,
    ...(quantized
      ? ["the model rounds to integers as it runs, so a difference of its steps is no error"]
      : []),
  ];
  for (const { site, groups, reason } of keptBack)
    lines.push(`${site}: ${groups.length} groups stay, because ${reason}`);
  if (recovery) lines.push(...describeRecovery(recovery));
  lines.push(`wrote ${files.join(", ")}`);
  return lines.join("\n");
}
