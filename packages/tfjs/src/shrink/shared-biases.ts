import { DgateError } from "@dgate/core";
import { type Graph, type Node, readNumbers, type Tensor } from "@dgate/onnx";

/**
 * Checks that a layer which is called several times still has one bias: what dead neurons before it emit is folded into the
 * bias of each call, and a layer of a LayersModel has only one.
 *
 * @throws DgateError `UNSUPPORTED` naming the layer
 */
export function checkSharedBiases(pruned: Graph): void {
  const biases = new Map<string, string[]>();
  for (const node of pruned.nodes()) {
    const bias = biasOf(node);
    const name = node.name.replace(/\/call\d+(?=\/|$)/, "");
    if (bias) biases.set(name, [...(biases.get(name) ?? []), readNumbers(bias).join()]);
  }
  for (const [name, calls] of biases) {
    if (calls.every((bias) => bias === calls[0])) continue;
    throw new DgateError(
      "UNSUPPORTED",
      `shrink: shared layer "${name}" would need another bias in each of its ${calls.length} calls, because the dead ` +
        `neurons before it emit different constants; gate those with bias: true, or leave them ungated.`,
    );
  }
}

/** The bias that a node adds, if it is a constant. */
function biasOf({ op, inputs }: Node): Tensor | undefined {
  if (op === "Gemm" || op === "Conv" || op === "ConvTranspose") return inputs[2]?.data;
  return op === "Add" ? inputs.find((input) => input?.data)?.data : undefined;
}
