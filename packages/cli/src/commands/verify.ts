import { DgateError } from "@dgate/core";
import { verify } from "@dgate/onnx";
import { type Command, Option } from "commander";
import { type Context, printResult } from "../io/context.ts";
import { namedSize, realNumber, wholeNumber } from "./arguments.ts";
import { checkDims, checkSameInputs, openModel, runtimeFor } from "./model-file.ts";

interface VerifyFlags {
  readonly tolerance: number;
  readonly runs: number;
  readonly seed: number;
  readonly dim?: Readonly<Record<string, number>>;
  readonly runtime?: "web" | "node";
  readonly json: boolean;
}

/** `dgate verify A B`: exit code 1 when the outputs are further apart than the tolerance. */
export function addVerify(program: Command, context: Context): void {
  program
    .command("verify")
    .description("same outputs? the largest difference over random inputs; exit code 1 past --tolerance")
    .argument("<a>", "ONNX file")
    .argument("<b>", "ONNX file")
    .option(
      "--tolerance <t>",
      "largest difference, relative to the largest output of A",
      realNumber({ least: 0 }),
      1e-4,
    )
    .option("--runs <n>", "random inputs", wholeNumber(1, 10_000), 10)
    .option("--seed <n>", "of the inputs", wholeNumber(0), 1)
    .option(
      "--dim <name=size>",
      "size of an open dimension (default: 1, 2, 3 in turn); may be repeated",
      namedSize,
    )
    .addOption(
      new Option(
        "--runtime <name>",
        "onnxruntime to run in (default: web; past 2 GiB what is installed)",
      ).choices(["web", "node"]),
    )
    .option("--json", "print one JSON document on stdout", false)
    .action(async (a: string, b: string, { json, dim: dims = {}, ...options }: VerifyFlags) => {
      const [first, second] = [await openModel(a), await openModel(b)];
      checkSameInputs("verify", first, second);
      checkDims(first, dims);
      const { runtime = runtimeFor(first.sizeBytes, second.sizeBytes).runtime, ...rest } = options;
      const found = await verify(first.model, second.model, {
        ...rest,
        dims,
        ...(runtime && { runtime }),
        signal: context.signal,
      });
      const { maxAbsDiff, maxRelDiff, output, equal } = found;
      const document = {
        maxAbsDiff,
        maxRelDiff,
        equal,
        output,
        runtime: found.runtime,
        tolerance: options.tolerance,
        models: [a, b],
      };
      const verdict = equal ? "same outputs" : `output "${output}" differs`;
      printResult(
        context,
        json,
        document,
        `${verdict}: max |Δ| ${maxAbsDiff.toExponential(2)}, ${maxRelDiff.toExponential(2)} of the scale`,
      );
      if (equal) return;
      throw new DgateError(
        "CHECK",
        `verify ${a} ${b}: output "${output}" differs by ${maxRelDiff.toExponential(2)} of its scale, more than ${options.tolerance}.`,
      );
    });
}
