import type { Node } from "../graph/types.ts";
import { ruleOf } from "./rule-of.ts";

/** Inputs of a node that hold a quantized tensor and what its numbers mean: `real = (value − zeroPoint) · scale`. */
export interface QuantizedOperand {
  readonly value: number;
  /** Input with the scale; absent where the node does not know it (it only sums integers). */
  readonly scale?: number;
  /** Input with the zero point; absent for a tensor of floats. */
  readonly zeroPoint?: number;
}

/** A quantized operator as the float operator whose work it does. */
export interface QuantizedForm {
  /** The float operator of the standard domain. */
  readonly op: string;
  /** In the order of the float operator's inputs. */
  readonly operands: readonly QuantizedOperand[];
  /** Input with the bias. */
  readonly bias?: number;
  /** Scale and zero point of the output, where it is quantized. */
  readonly output?: Required<Omit<QuantizedOperand, "value">>;
  /** Whether the node quantizes its float operand itself, by the range of all its elements. */
  readonly takesRange?: true;
}

const operand = (value: number, scale?: number, zeroPoint?: number): QuantizedOperand => ({
  value,
  ...(scale !== undefined && { scale }),
  ...(zeroPoint !== undefined && { zeroPoint }),
});

/** One quantized input with its scale and zero point, then those of the output. */
const unary = (op: string): QuantizedForm => ({
  op,
  operands: [operand(0, 1, 2)],
  output: { scale: 3, zeroPoint: 4 },
});

const binary = (op: string): QuantizedForm => ({
  op,
  operands: [operand(0, 1, 2), operand(3, 4, 5)],
  output: { scale: 6, zeroPoint: 7 },
});

/**
 * Quantized operators that are a float operator on `(value − zeroPoint) · scale`. What the analysis knows of the float
 * operator it knows of these; block-wise packed weights and the operators that only quantize are not among them.
 */
const forms: Readonly<Record<string, QuantizedForm>> = {
  MatMulInteger: { op: "MatMul", operands: [operand(0, undefined, 2), operand(1, undefined, 3)] },
  ConvInteger: { op: "Conv", operands: [operand(0, undefined, 2), operand(1, undefined, 3)] },
  QLinearMatMul: binary("MatMul"),
  QLinearConv: { ...binary("Conv"), bias: 8 },
  "com.microsoft.QGemm": {
    op: "Gemm",
    operands: [operand(0, 1, 2), operand(3, 4, 5)],
    bias: 6,
    output: { scale: 7, zeroPoint: 8 },
  },
  "com.microsoft.DynamicQuantizeMatMul": {
    op: "MatMul",
    operands: [operand(0), operand(1, 2, 3)],
    bias: 4,
    takesRange: true,
  },
  "com.microsoft.MatMulIntegerToFloat": {
    op: "MatMul",
    operands: [operand(0, 2, 4), operand(1, 3, 5)],
    bias: 6,
  },
  "com.microsoft.QLinearAdd": binary("Add"),
  "com.microsoft.QLinearMul": binary("Mul"),
  "com.microsoft.QLinearSigmoid": unary("Sigmoid"),
  "com.microsoft.QLinearLeakyRelu": unary("LeakyRelu"),
  "com.microsoft.QLinearSoftmax": unary("Softmax"),
  "com.microsoft.QLinearGlobalAveragePool": unary("GlobalAveragePool"),
  "com.microsoft.QLinearAveragePool": unary("AveragePool"),
};

/** The float operator that a quantized node stands for; `undefined` for any other node. */
export function quantizedForm(node: Node): QuantizedForm | undefined {
  if (node.op === "QLinearConcat" && node.domain === "com.microsoft") return concatForm(node);
  return ruleOf(forms, node);
}

/** Names of the operators of the table, as the rule tables key them. */
export const quantizedOps: readonly string[] = [...Object.keys(forms), "com.microsoft.QLinearConcat"];

/** Output scale and zero point first, then three inputs for each part. */
function concatForm({ inputs }: Node): QuantizedForm {
  const parts = Array.from({ length: Math.floor((inputs.length - 2) / 3) }, (_, i) => 2 + 3 * i);
  return {
    op: "Concat",
    operands: parts.map((at) => operand(at, at + 1, at + 2)),
    output: { scale: 0, zeroPoint: 1 },
  };
}

/** Which input of the node stands at each input of the float operator. */
export function inputOrder({ operands, bias }: QuantizedForm): readonly number[] {
  return [...operands.map(({ value }) => value), ...(bias === undefined ? [] : [bias])];
}

/** Inputs of a node that hold scales and zero points (of `DequantizeLinear` and `QuantizeLinear` too). */
export function parameterInputs(node: Node): readonly number[] {
  if (isQuantizeLinear(node) || isDequantizeLinear(node)) return [1, 2];
  if (isBlockwise(node, "MatMulNBits")) return [2, 3];
  if (isBlockwise(node, "MatMulBnb4")) return [2];
  if (isBlockwise(node, "GatherBlockQuantized")) return [2, 3];
  const form = quantizedForm(node);
  if (!form) return [];
  return [...form.operands, ...(form.output ? [form.output] : [])].flatMap(({ scale, zeroPoint }) =>
    [scale, zeroPoint].filter((index) => index !== undefined),
  );
}

/** `QuantizeLinear` of the standard domain or of com.microsoft, which had 16- and 4-bit types first. */
export const isQuantizeLinear = (node: Node): boolean => node.op === "QuantizeLinear" && isEither(node);
export const isDequantizeLinear = (node: Node): boolean => node.op === "DequantizeLinear" && isEither(node);

const isEither = ({ domain }: Node): boolean => domain === "" || domain === "com.microsoft";

/** Operators of com.microsoft whose weights are packed in blocks. */
export function isBlockwise(
  { op, domain }: Node,
  name: "MatMulNBits" | "MatMulBnb4" | "GatherBlockQuantized",
): boolean {
  return domain === "com.microsoft" && op === name;
}
