import { DgateError } from "@dgate/core";
import type { FuseTarget } from "@dgate/onnx";
import type { LibraryMajor } from "../decoder/decoder-families.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import { checkDtype, type Dtype } from "../source/dtype.ts";
import type { ModelFilesOptions } from "./save-options.ts";

/** The oldest onnxruntime of each version of transformers.js. */
const runtimes: { readonly [Major in LibraryMajor]: readonly FuseTarget[] } = {
  2: [
    { provider: "cpu", version: "1.14.0" },
    { provider: "wasm", version: "1.14.0" },
  ],
  3: [
    { provider: "cpu", version: "1.21.0" },
    { provider: "wasm", version: "1.22.0" },
    { provider: "webgpu", version: "1.22.0" },
  ],
  4: [
    { provider: "cpu", version: "1.24.0" },
    { provider: "wasm", version: "1.26.0" },
    { provider: "webgpu", version: "1.26.0" },
  ],
};

const madeHere: readonly Dtype[] = ["fp32", "q8", "int8", "uint8", "q4"];

/** Element types that version 2 has a way to load. */
const ofVersion2: readonly Dtype[] = ["fp32", "q8"];

/** What is written, for whom. */
export interface ChosenVariants {
  readonly dtypes: readonly Dtype[];
  readonly versions: readonly LibraryMajor[];
  /** Runtimes that load the file of an element type. */
  targets(dtype: Dtype): readonly FuseTarget[];
}

/**
 * Checks which element types and versions are asked for, or takes all that apply.
 *
 * @throws DgateError `OPTION` for a type or version that is not known, or that cannot be of this model
 */
export function chooseVariants(pruned: PrunedTransformer, options: ModelFilesOptions): ChosenVariants {
  const dtypes = chosenDtypes(pruned, options.dtypes);
  const versions = chosenVersions(pruned, options);
  return {
    dtypes,
    versions,
    targets: (dtype) =>
      versions
        .filter((version) => version !== 2 || versions.length === 1 || ofVersion2.includes(dtype))
        .flatMap((version) => runtimes[version]),
  };
}

function chosenDtypes(
  { gates, files }: PrunedTransformer,
  given: readonly Dtype[] | undefined,
): readonly Dtype[] {
  const { dtype } = gates.internals.model;
  const exact = dtype !== "fp32" || files.some(({ part }) => part.quantized);
  const chosen = [
    ...new Set(
      (given ?? (exact ? [dtype] : (["fp32", "q8"] satisfies Dtype[]))).map((each) =>
        checkDtype("save", each),
      ),
    ),
  ];
  if (chosen.length === 0) {
    throw new DgateError("OPTION", `save: dtypes is empty; give some of ${madeHere.join(", ")}.`);
  }
  const bad = chosen.find((each) => (exact ? each !== dtype : !madeHere.includes(each)));
  if (bad === undefined) return chosen;
  throw new DgateError(
    "OPTION",
    exact
      ? `save: the model was opened from its ${dtype} file, which is cut without quantizing it anew; it cannot be written as ${bad}. Open the fp32 file, or leave dtypes out.`
      : `save: ${bad} cannot be made here; there are ${madeHere.join(", ")}.`,
  );
}

function chosenVersions(
  pruned: PrunedTransformer,
  { versions, externalData }: ModelFilesOptions,
): readonly LibraryMajor[] {
  const all: readonly LibraryMajor[] = [2, 3, 4];
  if (versions?.length === 0 || versions?.some((version) => !all.includes(version))) {
    throw new DgateError("OPTION", `save: versions is [${versions.join(", ")}]; expected some of 2, 3, 4.`);
  }
  const limits: (readonly [readonly LibraryMajor[], string])[] = [[pruned.versions, pruned.notes.join("; ")]];
  if (externalData) limits.push([[3, 4], "version 2 of transformers.js loads no external data"]);
  for (const [able, why] of limits) {
    const unable = versions?.find((version) => !able.includes(version));
    if (unable !== undefined)
      throw new DgateError("OPTION", `save: the folder cannot be for version ${unable}: ${why}.`);
  }
  return (versions ?? all).filter((version) => limits.every(([able]) => able.includes(version)));
}
