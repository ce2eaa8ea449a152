import type { Dim } from "../graph/graph.ts";
import { type DataType, dataTypes } from "../graph/tensor.ts";
import { intAttribute } from "../ops/attributes.ts";
import { inputOrder, quantizedForm, quantizedOps } from "../ops/quantized-forms.ts";
import { multiplyDims } from "./dims.ts";
import type { ShapeRule } from "./shape-rules.ts";
import type { NodeView } from "./view.ts";

const typed = (dtype: DataType | undefined, shape: readonly Dim[] | undefined) => {
  if (!dtype) return undefined;
  return shape ? { dtype, shape } : { dtype };
};

/** A type attribute; `undefined` where it is left out. */
function typeAttribute(view: NodeView, name: string): DataType | undefined {
  const number = intAttribute(view.node, name, 0);
  const found = Object.entries(dataTypes).find(([, code]) => code === number);
  return found?.[0] as DataType | undefined; // a key of dataTypes
}

/** Sums of integers are int32; a quantized output has the type of its zero point, another one is float. */
function outputType(view: NodeView): DataType {
  if (view.node.op === "MatMulInteger" || view.node.op === "ConvInteger") return "int32";
  const { output, operands } = quantizedForm(view.node)!; // rows below have one
  const zeroPoint = output && view.dtype(output.zeroPoint);
  if (zeroPoint) return zeroPoint;
  if (output && view.node.op !== "QGemm") return view.dtype(operands[0]!.value) ?? "uint8";
  return "float32";
}

/** Leading axes of A, then the columns that attribute `N` says. */
const packedMatMul: ShapeRule = (view) => {
  const columns = intAttribute(view.node, "N", 0);
  const a = view.shape(0);
  return [typed(view.dtype(0), columns > 0 ? a && [...a.slice(0, -1), columns] : undefined)];
};

const gatherBlockQuantized: ShapeRule = (view) => {
  const data = view.shape(0);
  const indices = view.shape(1);
  const perByte = view.dtype(0) === "uint8" ? 8 / intAttribute(view.node, "bits", 4) : 1;
  if (!data || !indices) return [typed(view.dtype(2), undefined)];
  const axis = view.axis("gather_axis", 0, data.length);
  const whole = [...data.slice(0, -1), multiplyDims([data.at(-1), perByte])];
  return [typed(view.dtype(2), [...whole.slice(0, axis), ...indices, ...whole.slice(axis + 1)])];
};

const quantizeLinear: ShapeRule = (view) => {
  const dtype = view.dtype(2) ?? typeAttribute(view, "output_dtype") ?? "uint8";
  return [typed(dtype, view.shape(0))];
};

const dequantizeLinear: ShapeRule = (view) => {
  return [typed(typeAttribute(view, "output_dtype") ?? view.dtype(1), view.shape(0))];
};

/**
 * Shapes of the quantized operators: those of the float operator that each stands for.
 *
 * @param floats the rules of the float operators
 */
export function quantizedShapes(
  floats: Readonly<Record<string, ShapeRule>>,
): Readonly<Record<string, ShapeRule>> {
  const asFloat: ShapeRule = (view) => {
    const form = quantizedForm(view.node)!; // rows below have one
    if (intAttribute(view.node, "channels_last", 0) !== 0) return [];
    const [found] = floats[form.op]?.(view.as(form.op, inputOrder(form))) ?? [];
    return [typed(outputType(view), found?.shape)];
  };
  return {
    ...Object.fromEntries(quantizedOps.map((op) => [op, asFloat])),
    QuantizeLinear: quantizeLinear,
    "com.microsoft.QuantizeLinear": quantizeLinear,
    DequantizeLinear: dequantizeLinear,
    "com.microsoft.DequantizeLinear": dequantizeLinear,
    DynamicQuantizeLinear: (view) => [
      typed("uint8", view.shape(0)),
      typed("float32", []),
      typed("uint8", []),
    ],
    "com.microsoft.MatMulNBits": packedMatMul,
    "com.microsoft.MatMulBnb4": packedMatMul,
    "com.microsoft.GatherBlockQuantized": gatherBlockQuantized,
  };
}
