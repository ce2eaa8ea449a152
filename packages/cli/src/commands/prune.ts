import { basename, dirname, resolve } from "node:path";
import { DgateError, formatTable, printPlan } from "@dgate/core";
import { foldGates, mask, type ModelSize, prune, readGates, verify } from "@dgate/onnx";
import { externalDataPath, writeModelFile } from "@dgate/onnx/node";
import { type Command, Option } from "commander";
import { type Context, printResult, stopIfAborted } from "../io/context.ts";
import { prepareOutputs, writeWhole } from "../io/files.ts";
import { checkDims, openModel, runtimeFor } from "./model-file.ts";
import { addPlanOptions, type PlanFlags, planOf, targetOf } from "./plan-request.ts";
import { describeRecovery, recoverPruned } from "./recover-pruned.ts";

interface PruneFlags extends PlanFlags {
  readonly out: string;
  readonly writePlan?: string;
  readonly calibrate?: string;
  readonly externalData: keyof typeof externalData;
  readonly force: boolean;
  readonly json: boolean;
}

/** The option `externalData` of `writeModelFile` by what --external-data takes. */
const externalData = { auto: "auto", always: true, never: false } as const;

/** `dgate prune MODEL -o OUT`. */
export function addPrune(program: Command, context: Context): void {
  const command = program
    .command("prune")
    .description("remove groups of an ONNX model for real; written only if it equals the masked model")
    .argument("<model>", "ONNX file")
    .requiredOption("-o, --out <file>", "where to write the pruned model");
  addPlanOptions(command)
    .option("--write-plan <file>", "also write the plan that was carried out")
    .option(
      "--calibrate <file>",
      "safetensors file of inputs: fit the surviving weights on them, without labels",
    )
    .addOption(
      new Option("--external-data <when>", "weights in OUT_data beside OUT; auto: as in MODEL, or past 2 GiB")
        .choices(Object.keys(externalData))
        .default("auto"),
    )
    .option("--force", "overwrite existing files", false)
    .option("--json", "print one JSON document on stdout", false)
    .action(async (path: string, flags: PruneFlags) => {
      const document = await pruneFile(path, flags, context);
      printResult(context, flags.json, document, describe(document));
    });
}

type PruneDocument = Awaited<ReturnType<typeof pruneFile>>;

async function pruneFile(path: string, flags: PruneFlags, context: Context) {
  const target = targetOf(flags);
  const removeFolders = await claimOutputs(path, flags);
  try {
    return { ...(await pruneInto(path, flags, context)), target };
  } catch (error) {
    await removeFolders();
    throw error;
  }
}

/** Makes sure that the outputs can be written. Gives what removes the folders that it made. */
async function claimOutputs(
  model: string,
  { out, writePlan, force }: PruneFlags,
): Promise<() => Promise<void>> {
  if (resolve(out) === resolve(model)) {
    throw new DgateError(
      "OPTION",
      `prune: --out ${out} is the model itself; give the pruned model a name of its own, --force or not.`,
    );
  }
  const outputs = [out, externalDataPath(out), ...(writePlan === undefined ? [] : [writePlan])];
  if (new Set(outputs.map((file) => resolve(file))).size < outputs.length) {
    throw new DgateError(
      "OPTION",
      `prune: --write-plan ${writePlan} is a file of the pruned model; give the plan a name of its own.`,
    );
  }
  const made: (() => Promise<void>)[] = [];
  const removeFolders = async (): Promise<void> => {
    for (const remove of made.toReversed()) await remove();
  };
  try {
    for (const file of outputs) made.push(await prepareOutputs(dirname(file), [basename(file)], force));
  } catch (error) {
    await removeFolders();
    throw error;
  }
  return removeFolders;
}

async function pruneInto(path: string, flags: PruneFlags, context: Context) {
  const { out, writePlan, seed, dim: dims = {} } = flags;
  const { signal } = context;
  const file = await openModel(path);
  const { sizeBytes } = file;
  checkDims(file, dims);
  stopIfAborted(signal, "prune");
  // A gated model is pruned as what its gates have made of it.
  const gated = readGates(file.graph).size > 0;
  const graph = gated ? foldGates(file.graph).graph : file.graph;
  const plan = await planOf({ ...file, graph }, flags, gated ? file.graph : undefined);
  const { graph: pruned, report } = prune(graph, plan, { dims });
  const { maxAbsDiff, acceptable, quantized } = await verify(mask(graph, plan), pruned, {
    ...runtimeFor(sizeBytes, sizeBytes),
    inputs: report.inputs,
    outputs: report.outputs,
    signal,
    seed,
    dims,
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
      : await recoverPruned(flags.calibrate, graph, { graph: pruned, report }, context, dims);
  const written = await writeModelFile(out, recovered?.graph ?? pruned, {
    externalData: externalData[flags.externalData],
    signal,
  });
  if (writePlan) await writeWhole(writePlan, `${printPlan(plan)}\n`);
  return {
    before: { ...report.before, bytes: sizeBytes },
    after: { ...report.after, ...recovered?.size, bytes: written.sizeBytes },
    reached: fractions(report.before, { ...report.after, ...recovered?.size }),
    removed: report.removed,
    keptBack: report.keptBack,
    inputs: report.inputs,
    outputs: report.outputs,
    maxAbsDiff,
    quantized,
    ...(recovered && { recovery: recovered.recovery }),
    files: writePlan ? [...written.files, writePlan] : [...written.files],
  };
}

/** What is left of each cost, as the budgets count it: bytes are those of the weights, not of the file. */
function fractions(before: ModelSize, after: ModelSize) {
  const part = (name: keyof ModelSize): number => (before[name] === 0 ? 1 : after[name] / before[name]);
  return { macs: part("macs"), parameters: part("parameters"), bytes: part("bytes") };
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;

const sizeRow = (name: string, { parameters, macs, bytes }: PruneDocument["after"]): string[] => [
  name,
  ...[parameters, macs, bytes].map((value) => value.toLocaleString("en")),
];

function describe(document: PruneDocument): string {
  const { before, after, reached, removed, keptBack, maxAbsDiff, quantized, recovery, files } = document;
  const lines = [
    formatTable(
      ["", "parameters", "MACs", "bytes"],
      [
        sizeRow("before", before),
        sizeRow("after", after),
        ["left", percent(reached.parameters), percent(reached.macs), percent(after.bytes / before.bytes)],
      ],
    ),
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
