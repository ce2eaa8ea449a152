import type { Graph, Node, Value } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import {
  isBlockwise,
  isDequantizeLinear,
  isQuantizeLinear,
  type QuantizedForm,
  quantizedForm,
  type QuantizedOperand,
} from "../ops/quantized-forms.ts";
import { branchPrefixes, flattenBranches, restoreBranches } from "../normal-form/branches.ts";
import { applyTo } from "../ops/rule-of.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { operandQuantization, readerQuantization } from "../quantization/quantization-of.ts";
import { biasMeaning, packedMatrix, packedTable, plainMeaning } from "./dequantized-constants.ts";
import { dequantizeIntegerProduct } from "./integer-products.ts";
import { moveCodes, turnedWeights } from "./moved-codes.ts";
import { RealValues } from "./real-values.ts";
import { refuse } from "./refuse.ts";
import { saturated } from "./saturation.ts";
import { subgraphsOf } from "./subgraphs.ts";

/**
 * A float copy of a quantized model, in which weights can be learnt: each operator on codes as the float operator that it stands for, each
 * constant of codes as the numbers that the codes mean, under its name, and no rounding in between. Its results differ from the
 * model's by that rounding. A model without quantization comes back as a copy.
 *
 * @throws DgateError `UNSUPPORTED` naming operator, node and domain, where what codes mean is not known
 */
export function dequantizeModel(graph: Graph): Graph {
  const copy = graph.clone();
  if (!hasCodes(copy)) return copy;
  // The branches of a merged decoder share their weights: laid out they are one graph.
  const branches = copy.nodes().some(hasQuantizedGraph) ? flattenBranches(copy) : 0;
  turnedWeights(copy);
  const prefixOf = branchPrefixes(copy);
  const reals = new RealValues(copy);
  for (const node of copy.sorted()) {
    reals.prefix = prefixOf(node);
    applyTo(node, () => dequantizeNode(reals, node));
  }
  removeDeadCode(copy);
  copy.sortNodes();
  reals.takeNames();
  for (const node of copy.nodes()) {
    if (isQuantizing(node) && !isQuantizeLinear(node) && !isDequantizeLinear(node))
      refuse(node, "its codes are used where their meaning is not known");
  }
  if (branches > 0) restoreBranches(copy);
  return copy;
}

/** Whether there is anything for `dequantizeModel` to do: weights of codes do, where `isQuantized` asks for rounding at run time. */
export const hasCodes = (graph: Graph): boolean =>
  graph.nodes().some((node) => isQuantizing(node) || hasQuantizedGraph(node));

const isBlock = (node: Node): boolean =>
  isBlockwise(node, "MatMulNBits") ||
  isBlockwise(node, "MatMulBnb4") ||
  isBlockwise(node, "GatherBlockQuantized");

const isQuantizedAttention = ({ op, domain }: Node): boolean =>
  op === "QAttention" && domain === "com.microsoft";

function isQuantizing(node: Node): boolean {
  if (isQuantizeLinear(node) || isDequantizeLinear(node) || isBlock(node)) return true;
  return (
    node.op === "DynamicQuantizeLinear" || isQuantizedAttention(node) || quantizedForm(node) !== undefined
  );
}

function hasQuantizedGraph(node: Node): boolean {
  return subgraphsOf(node).some(([, inner]) => hasCodes(inner));
}

function dequantizeNode(reals: RealValues, node: Node): void {
  if (hasQuantizedGraph(node)) refuse(node, "its subgraph is quantized");
  if (isDequantizeLinear(node)) return dequantizeLinear(reals, node);
  if (isQuantizeLinear(node) || node.op === "DynamicQuantizeLinear") return quantizeLinear(reals, node);
  if (isBlock(node)) return blockwise(reals, node);
  if (isQuantizedAttention(node)) return quantizedAttention(reals, node);
  const form = quantizedForm(node);
  if (!form) return moveCodes(reals, node);
  const givesSums = node.op === "MatMulInteger" || node.op === "ConvInteger";
  return givesSums ? dequantizeIntegerProduct(reals, node) : floatForm(reals, node, form);
}

function dequantizeLinear(reals: RealValues, node: Node): void {
  const codes = node.inputs[0]!;
  const output = node.outputs[0]!;
  const known = reals.get(codes);
  if (known) return reals.replace(output, known.value);
  if (!codes.data) return; // codes that the model is given
  const meant = readerQuantization(reals.graph, node, 0);
  if (!meant) return refuse(node, "its scales or zero points are computed");
  reals.replace(output, reals.constant(codes, plainMeaning(codes, meant)));
}

function quantizeLinear(reals: RealValues, node: Node): void {
  const x = node.inputs[0]!;
  const [codes, scale] = node.outputs;
  if (node.op === "DynamicQuantizeLinear") return reals.set(codes, { value: x, scale });
  const value = saturated(reals, x, [node.inputs[1], node.inputs[2]]);
  reals.set(codes, { value, scale: node.inputs[1] });
}

function blockwise(reals: RealValues, node: Node): void {
  const { graph } = reals;
  const output = node.outputs[0]!;
  if (node.op === "GatherBlockQuantized") {
    const codes = node.inputs[0]!;
    if (!codes.data) return refuse(node, "its table is computed");
    const table = reals.constant(codes, packedTable(graph, node, codes));
    return reals.replace(output, reals.add(node, "Gather", [table, node.inputs[1]]));
  }
  const [x, codes] = node.inputs;
  if (!codes?.data) return refuse(node, "its weight is computed");
  if (intAttribute(node, "weight_prepacked", 0)) refuse(node, "its weight is packed for one kernel");
  if (node.op === "MatMulNBits" && node.inputs[4]) refuse(node, "it orders its inputs by an index (g_idx)");
  const weight = reals.constant(codes, packedMatrix(graph, node, codes));
  const bias = node.op === "MatMulNBits" ? node.inputs[5] : undefined;
  const product = reals.add(node, "MatMul", [x, weight]);
  reals.replace(output, bias ? reals.addBeside("Add", [product, bias]) : product);
}

/** The float value of an operand: known, a constant, or codes that the model is given. */
function realOperand(reals: RealValues, node: Node, operand: QuantizedOperand): Value {
  const value = node.inputs[operand.value]!;
  const known = reals.get(value);
  if (known) return known.value;
  if (operand.zeroPoint === undefined) return value;
  if (value.data) {
    const meant = operandQuantization(reals.graph, node, operand.value);
    if (!meant?.scales) return refuse(node, `what "${value.name}" stands for is not known`);
    return reals.constant(value, plainMeaning(value, meant));
  }
  const parameters = [operand.scale, operand.zeroPoint].map((index) => node.inputs[index!]);
  return reals.addBeside("DequantizeLinear", [value, ...parameters]);
}

/** A QLinear operator, and the products that have floats on one side. */
function floatForm(reals: RealValues, node: Node, form: QuantizedForm): void {
  if (intAttribute(node, "channels_last", 0)) refuse(node, "its channels come last");
  const operands = form.operands.map((operand) => realOperand(reals, node, operand));
  if (form.op === "Softmax") checkSoftmax(reals.graph, node);
  const attributes = new Map([...node.attributes].filter(([name]) => !ownAttributes.has(name)));
  const bias = form.bias === undefined ? undefined : node.inputs[form.bias];
  const isSum = form.op === "MatMul" && bias !== undefined;
  const real = bias && biasOf(reals, node, form, bias);
  const result = reals.add(node, form.op, isSum || !real ? operands : [...operands, real], attributes);
  const whole = isSum ? reals.addBeside("Add", [result, real]) : result;
  const scale = form.output && node.inputs[form.output.scale];
  if (!form.output || !scale) return reals.replace(node.outputs[0]!, whole);
  const ends = [scale, node.inputs[form.output.zeroPoint]] as const;
  reals.set(node.outputs[0], { value: saturated(reals, whole, ends), scale });
}

/** A float bias as it is, an int32 one by the scales of the operands. */
function biasOf(reals: RealValues, node: Node, form: QuantizedForm, bias: Value): Value {
  const dtype = bias.data?.dtype ?? bias.type?.dtype;
  if (dtype !== "int32") return bias;
  const [dataScale, weightScale] = form.operands.map(({ scale }) => node.inputs[scale!]);
  if (!bias.data || !dataScale?.data || !weightScale?.data) return refuse(node, "its bias is computed");
  const factor = form.op === "Gemm" ? floatAttribute(node, "alpha", 1) : 1;
  return reals.constant(bias, biasMeaning(bias, dataScale, weightScale, factor));
}

/** Attributes that the float operators do not have. */
const ownAttributes: ReadonlySet<string> = new Set(["channels_last", "opset"]);

/** Before operator set 13, Softmax took all axes from its own on as one. */
function checkSoftmax(graph: Graph, node: Node): void {
  const model = graph.opsets.get("") ?? 1;
  const isOld = intAttribute(node, "opset", model) < 13;
  if (isOld !== model < 13 && intAttribute(node, "axis", -1) !== -1)
    refuse(node, "its softmax is of another operator set than the model");
}

/** QAttention as the Attention of the same domain, with a float weight. */
function quantizedAttention(reals: RealValues, node: Node): void {
  const [x, weight, bias, xScale, weightScale, mask, xZero, weightZero, past] = node.inputs;
  const known = reals.get(x)?.value;
  const real = known ?? reals.addBeside("DequantizeLinear", [x, xScale, xZero]);
  if (!weight?.data || !weightScale?.data || (weightZero && !weightZero.data))
    return refuse(node, "its weight is computed");
  const meaning = plainMeaning(weight, {
    shape: weight.data.shape,
    packedBits: 0,
    axis: 1,
    blockSize: 0,
    scales: { value: weightScale, numbers: readNumbers(weightScale.data) },
    zeroPoints: { value: weightZero, numbers: weightZero?.data ? readNumbers(weightZero.data) : [0] },
  });
  const inputs = [real, reals.constant(weight, meaning), bias, mask, past];
  const used = inputs.slice(0, inputs.findLastIndex((value) => value !== undefined) + 1);
  const outputs = reals.addLike(node, "Attention", used);
  node.outputs.forEach((value, i) => value && reals.replace(value, outputs[i]!));
}
