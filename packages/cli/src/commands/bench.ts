import { DgateError, formatTable, randomGenerator } from "@dgate/core";
import { type Graph, openRunner, type Runner } from "@dgate/onnx";
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

type Feeds = Timed["feeds"];

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
    for (const file of files) checkSameInputs("bench", files[0]!, file);
    checkDims(files[0]!, dims);
    const sizeOf = (dim = ""): number => (Object.hasOwn(dims, dim) ? dims[dim]! : batch);
    const feeds = randomFeeds(files[0]!.graph, sizeOf, seed);
    for (const { model } of files) runners.push(await openRunner(model, { runtime }));
    const figures = await timeInterleaved(
      runners.map((runner) => ({ runner, feeds })),
      { rounds, signal },
    );
    const models = figures.map(({ medianMs, p95Ms }, i) => ({ path: paths[i]!, medianMs, p95Ms }));
    const speedup = Math.round((100 * models[0]!.medianMs) / models.at(-1)!.medianMs) / 100;
    return { models, speedup, runtime, batch, dims };
  } finally {
    for (const runner of runners) await runner.dispose();
  }
}

/** Standard normal numbers for floats, zeros and ones for whole numbers and booleans, which any table or mask takes. */
function randomFeeds(graph: Graph, sizeOf: (dim: string | undefined) => number, seed: number): Feeds {
  const random = randomGenerator(seed);
  const feeds: Record<string, Feeds[string]> = {};
  for (const { name, type } of graph.requiredInputs) {
    const shape = type?.shape?.map((dim) => (typeof dim === "number" ? dim : sizeOf(dim)));
    if (!type || !shape) {
      throw new DgateError(
        "UNSUPPORTED",
        `bench: input "${name}" has no known shape; declare it in the model.`,
      );
    }
    const length = shape.reduce((a, b) => a * b, 1);
    const draw = /float/.test(type.dtype) ? () => random.normal() : () => random.integer(2);
    // In the runtime's own form: a plain array would be converted anew in every timed run.
    const data =
      type.dtype === "float32" ? Float32Array.from({ length }, draw) : Array.from({ length }, draw);
    feeds[name] = { dtype: type.dtype, shape, data };
  }
  return feeds;
}
