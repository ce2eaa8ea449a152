import { DgateError } from "@dgate/core";
import { verify } from "@dgate/onnx";
import { imageDims } from "../prune/dims.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import { type Dtype, dtypeSuffixes } from "../source/dtype.ts";
import { nodeFiles, nodePath } from "../node-modules.ts";
import type { SaveCheck } from "./save-options.ts";

/**
 * Runs written files that the user's transformers.js has no way to load in onnxruntime alone, on random inputs.
 *
 * @throws DgateError `CHECK` if they give something that is not finite where the pruned model does not, `FORMAT` if the runtime refuses them
 */
export async function checkUnopened(
  pruned: PrunedTransformer,
  folder: string,
  dtype: Dtype,
): Promise<SaveCheck> {
  const [files, path] = [await nodeFiles(), await nodePath()];
  let [maxAbsDiff, maxRelDiff, runs] = [0, 0, 0];
  for (const { graph, part, dims } of pruned.files) {
    const name = `${part.source.slot.file}${dtypeSuffixes[dtype]}.onnx`;
    const bytes = await files.readFile(path.join(folder, "onnx", name));
    const found = await verify(graph, bytes, {
      ...pruned.gates.internals.runtime.engine,
      dims: imageDims(dims),
      runs: 1,
    });
    maxAbsDiff = Math.max(maxAbsDiff, found.maxAbsDiff);
    maxRelDiff = Math.max(maxRelDiff, found.maxRelDiff);
    runs += 1;
  }
  if (Number.isFinite(maxRelDiff)) return { dtype, opened: false, runs, maxAbsDiff, maxRelDiff };
  throw new DgateError(
    "CHECK",
    `save: the ${dtype} files that were written give values that are not finite; nothing was left behind.`,
  );
}
