import { type Graph, int, readNumbers, type Tensor, tensorOf } from "@dgate/onnx";

/** A graph in half precision inside, with inputs and outputs as before: as the `_fp16` files of the hub. */
export function inHalfPrecision(graph: Graph): Graph {
  const copy = graph.clone();
  for (const value of copy.initializers) {
    if (value.data!.dtype === "float32") copy.setData(value, half(value.data!));
  }
  for (const node of copy.nodes()) {
    const { op, attributes, outputs } = node;
    const to = attributes.get("to");
    if (op === "Cast" && to?.kind === "int" && to.value === 1) copy.setAttribute(node, "to", int(10));
    const constant = attributes.get("value");
    if (constant?.kind === "tensor" && constant.value.dtype === "float32")
      copy.setAttribute(node, "value", { ...constant, value: half(constant.value) });
    for (const output of outputs)
      if (output?.type?.dtype === "float32") output.type = { ...output.type, dtype: "float16" };
  }
  for (const output of copy.outputs.slice()) {
    const { name, type } = output;
    copy.rename(output, `${name}.half`);
    const whole = copy.addValue(name, { ...type!, dtype: "float32" });
    copy.replaceUses(output, whole);
    copy.addNode({ op: "Cast", inputs: [output], outputs: [whole], attributes: { to: int(1) } });
  }
  return copy;
}

/** The mask's lowest float32 is no number in half precision. */
const half = (tensor: Tensor): Tensor =>
  tensorOf(
    "float16",
    tensor.shape,
    Array.from(readNumbers(tensor), (x) => Math.max(-60_000, x)),
  );
