import { formatTable, randomGenerator } from "@dgate/core";
import { type Graph, openRunner, randomInputs, readNumbers, type Runner } from "@dgate/onnx";
import { type Command, Option } from "commander";
import { type Context, printResult } from "../io/context.ts";
import { type Timed, timeInterleaved } from "../train/latency.ts";
import { namedSize, wholeNumber } from "./arguments.ts";
import { checkDims, checkSameInputs, openModel } from "./model-file.ts";

interface BenchFlags {
  readonly batch: number;
  readonly dim?: Readonly<Record<string, number>>;
  readonly rounds: number;
  readonly runtime: "web" | "node";
  readonly seed: number;
  readonly json: boolean;
}

/** `dgate bench MODEL…`: latency side by side on the same inputs. */
export function addBench(program: Command, context: Context): void {
  program
    .command("bench")
    .description("latency side by side on the same inputs: interleaved runs, medians and ratios")
    .argument("<models...>", "ONNX files that take the same inputs")
    .option("--batch <n>", "size of open dimensions", wholeNumber(1, 100_000), 32)
    .option("--dim <name=size>", "size of one open dimension; may be repeated", namedSize)
    .option("--rounds <n>", "most runs of each model", wholeNumber(1, 1_000_000), 200)
    .option("--seed <n>", "of the inputs", wholeNumber(0), 1)
    .addOption(
      new Option("--runtime <name>", "onnxruntime to run in, one thread")
        .choices(["web", "node"])
        .default("web"),
    )
    .option("--json", "print one JSON document on stdout", false)
    .action(async (paths: string[], flags: BenchFlags) => {
      const document = await bench(paths, flags, context);
      const rows = document.models.map(({ path, medianMs, p95Ms }) => [
        path,
        medianMs.toFixed(3),
        p95Ms.toFixed(3),
        `${(document.models[0]!.medianMs / medianMs).toFixed(2)}×`,
      ]);
      printResult(
        context,
        flags.json,
        document,
        formatTable(["model", "median ms", "p95 ms", "speed-up"], rows),
      );
    });
}

async function bench(
  paths: readonly string[],
  { batch, dim: dims = {}, rounds, runtime, seed }: BenchFlags,
  { signal }: Context,
) {
  const runners: Runner[] = [];
  try {
    const files = [];
    for (const path of paths) files.push(await openModel(path));
    for (const file of files) checkSameInputs("bench", files[0]!, file, { caches: true });
    checkDims(files[0]!, dims);
    const timed: Timed[] = [];
    for (const { graph, model } of files) {
      const runner = await openRunner(model, { runtime });
      runners.push(runner);
      timed.push({ runner, feeds: drawFeeds(graph, { batch, dims, seed }) });
    }
    const figures = await timeInterleaved(timed, { rounds, signal });
    const models = figures.map(({ medianMs, p95Ms }, i) => ({ path: paths[i]!, medianMs, p95Ms }));
    const speedup = Math.round((100 * models[0]!.medianMs) / models.at(-1)!.medianMs) / 100;
    return { models, speedup, runtime, batch, dims };
  } finally {
    for (const runner of runners) await runner.dispose();
  }
}

/**
 * Random inputs as `verify` draws them (token ids within the vocabulary, masks, an empty cache), in the runtime's own arrays: others
 * would be converted anew in every timed run. A pruned decoder's caches have fewer heads; all else is the same for every model.
 */
function drawFeeds(
  graph: Graph,
  { batch, dims, seed }: { batch: number; dims: Readonly<Record<string, number>>; seed: number },
): Timed["feeds"] {
  const drawn = randomInputs(graph, randomGenerator(seed), dims, batch);
  return Object.fromEntries(
    Object.entries(drawn).map(([name, tensor]) => {
      const { dtype, shape } = tensor;
      if (dtype !== "float32" && dtype !== "int64") return [name, tensor];
      const numbers = readNumbers(tensor);
      const data = dtype === "int64" ? BigInt64Array.from(numbers, BigInt) : Float32Array.from(numbers);
      return [name, { dtype, shape, data }];
    }),
  );
}
