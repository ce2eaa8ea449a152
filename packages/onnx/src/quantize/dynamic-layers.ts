import { dataTypes } from "../graph/tensor.ts";
import { int } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { elementCount } from "../io/element-types.ts";
import { affineCodes, type AffineCodes, codeFormat, type CodeFormat, type Runs } from "./affine-codes.ts";
import type { FloatLayer } from "./float-layers.ts";
import { type LayerWriter, nameOf, weightNumbers } from "./layer-writer.ts";
import { transposeInto } from "./transpose-matrix.ts";

/** How weights become codes. */
export interface DynamicFormats {
  readonly weights: CodeFormat;
  readonly perChannel: boolean;
}

/** Tables are stored as onnxruntime's quantizer stores them, over all 256 codes. */
const tableFormat = codeFormat("uint8", false, false);
/** ConvInteger of onnxruntime takes one zero point for all filters: the middle one. */
const convFormat = (reduced: boolean): CodeFormat => codeFormat("uint8", true, reduced);

/** Values that stand for a float one: `real = (codes − zeroPoint) · scale`. */
interface Quantized {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Replaces float layers by dynamically quantized ones; what layers share (data, weights, tables) is quantized once. */
export class DynamicWriter {
  readonly #to: LayerWriter;
  readonly #formats: DynamicFormats;
  readonly #data = new Map<Value, Quantized>();
  readonly #weights = new Map<string, Quantized>();
  readonly #tables = new Map<Value, Quantized>();

  constructor(to: LayerWriter, formats: DynamicFormats) {
    this.#to = to;
    this.#formats = formats;
  }

  /** `DequantizeLinear(Gather(codes, indices))`. */
  table(layer: FloatLayer): void {
    const { node } = layer;
    const table = this.#table(layer);
    const name = nameOf(node);
    const rows = this.#to.work("Gather", node, {
      inputs: [table.codes, node.inputs[1]],
      attributes: node.attributes,
    });
    const inputs = [rows, table.scale, table.zeroPoint];
    this.#to.finish(layer, this.#to.op("DequantizeLinear", `${name}_dequantize`, { inputs }));
  }

  /** `Mul(Cast(MatMulInteger(data, weight)), scales)`, or ConvInteger. */
  product(layer: FloatLayer): void {
    const { node, operator } = layer;
    const isConv = operator === "Conv";
    const data = this.#activation(node.inputs[0]!);
    const weight = isConv ? this.#filters(layer) : this.#matrix(layer);
    const name = nameOf(node);
    const sums = this.#to.work(isConv ? "ConvInteger" : "MatMulInteger", node, {
      inputs: [data.codes, weight.codes, data.zeroPoint, weight.zeroPoint],
      attributes: isConv ? node.attributes : {},
    });
    const real = this.#to.op("Cast", `${name}_cast`, {
      inputs: [sums],
      attributes: { to: int(dataTypes.float32) },
    });
    const scales = this.#to.op("Mul", `${name}_scales`, { inputs: [data.scale, weight.scale] });
    this.#to.finish(layer, this.#to.op("Mul", `${name}_scaled`, { inputs: [real, scales] }));
  }

  #activation(x: Value): Quantized {
    const known = this.#data.get(x);
    if (known) return known;
    const { name } = x;
    const [codes, scale, zeroPoint] = this.#to.add("DynamicQuantizeLinear", `${name}_quantize`, {
      inputs: [x],
      outputs: [`${name}_quantized`, `${name}_scale`, `${name}_zero_point`],
    });
    const made = { codes: codes!, scale: scale!, zeroPoint: zeroPoint! };
    this.#data.set(x, made);
    return made;
  }

  #table(layer: FloatLayer): Quantized {
    const { weight, tensor } = layer;
    const known = this.#tables.get(weight);
    if (known) return known;
    const count = elementCount(tensor.shape);
    const whole = { outer: 1, size: 1, inner: count };
    const found = affineCodes(weightNumbers(layer), whole, tableFormat, weight.name);
    const made = this.#constants(weight.name, tensor.shape, found, tableFormat, []);
    this.#tables.set(weight, made);
    return made;
  }

  /** A weight as `[inputs, outputs]`. */
  #matrix(layer: FloatLayer): Quantized {
    const { weight, outputsFirst, factor } = layer;
    const key = [weight.name, outputsFirst, factor].join("|");
    const known = this.#weights.get(key);
    if (known) return known;
    const table = factor === 1 ? this.#tables.get(weight) : undefined;
    const made = table ? this.#turnedTable(table, outputsFirst) : this.#matrixCodes(layer);
    this.#weights.set(key, made);
    return made;
  }

  /** Tied weights: the codes of a table are also those of the layer, turned as it runs. */
  #turnedTable(table: Quantized, outputsFirst: boolean): Quantized {
    if (!outputsFirst) return table;
    const { name } = table.codes;
    const codes = this.#to.op("Transpose", `${name}_transpose`, {
      inputs: [table.codes],
      outputs: [`${name}_transposed`],
    });
    return { ...table, codes };
  }

  #matrixCodes(layer: FloatLayer): Quantized {
    const { weight, tensor, outputsFirst } = layer;
    const { weights: format, perChannel } = this.#formats;
    const [rows, columns] = [tensor.shape[0]!, tensor.shape[1]!];
    const runs = matrixRuns(rows, columns, outputsFirst, perChannel);
    const found = affineCodes(weightNumbers(layer), runs, format, weight.name);
    if (!outputsFirst) return this.#constants(weight.name, [rows, columns], found, format, [columns]);
    const codes = transposeInto(found.codes, rows, columns, found.codes.slice());
    return this.#constants(weight.name, [columns, rows], { ...found, codes }, format, [rows]);
  }

  /** Filters `[filters, channels, …]`, with scales that multiply `[batch, filters, …]`. */
  #filters(layer: FloatLayer): Quantized {
    const { weight, tensor } = layer;
    const known = this.#weights.get(weight.name);
    if (known) return known;
    const { weights, perChannel } = this.#formats;
    const format = convFormat(weights.high <= 127 && weights.low >= -64);
    const filters = tensor.shape[0]!;
    const count = elementCount(tensor.shape);
    const size = perChannel ? filters : 1;
    const found = affineCodes(
      weightNumbers(layer),
      { outer: 1, size, inner: count / size },
      format,
      weight.name,
    );
    const scaleShape = [filters, ...tensor.shape.slice(2).map(() => 1)];
    const made = this.#constants(weight.name, tensor.shape, found, format, scaleShape);
    this.#weights.set(weight.name, made);
    return made;
  }

  /** Codes, scales of the given shape (none for a single one) and zero points as constants. */
  #constants(
    name: string,
    shape: readonly number[],
    { codes, scales, zeroPoints }: AffineCodes,
    format: CodeFormat,
    scaleShape: readonly number[],
  ): Quantized {
    const to = this.#to;
    const dims = scales.length === 1 ? [] : scaleShape;
    // Kernels are faster with one zero point, and those of ConvInteger take no other.
    const oneZero = format.middle !== undefined || zeroPoints.length === 1;
    const zeros = oneZero ? zeroPoints.slice(0, 1) : zeroPoints;
    return {
      codes: to.constant(`${name}_quantized`, format.dtype, shape, codes),
      scale: to.constant(`${name}_scale`, "float32", dims, scales),
      zeroPoint: to.constant(`${name}_zero_point`, format.dtype, oneZero ? [] : dims, zeros),
    };
  }
}

/** Scales along the outputs of a matrix in memory, or one. */
function matrixRuns(rows: number, columns: number, outputsFirst: boolean, perChannel: boolean): Runs {
  if (!perChannel) return { outer: 1, size: 1, inner: rows * columns };
  return outputsFirst ? { outer: 1, size: rows, inner: columns } : { outer: rows, size: columns, inner: 1 };
}
