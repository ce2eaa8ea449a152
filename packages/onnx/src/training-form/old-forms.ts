import { int, string, tensor } from "../graph/attribute.ts";
import type { Attribute } from "../graph/attribute.ts";
import type { DataType } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import {
  floatAttribute,
  floatsAttribute,
  frontAxis,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from "../ops/attributes.ts";
import { reduceOps } from "../ops/families.ts";
import type { OldNode } from "./old-node.ts";

/** A form that an operator had before an operator set. */
export interface OldForm {
  /** The first operator set of the new form. */
  readonly until: number;
  /** Brings a node of the old form to the new one; whether that asked for an edit. */
  readonly upgrade: (at: OldNode) => boolean;
}

/** An integer list that became an input; an empty one means the same as none. */
const listToInput =
  (name: string, index: number, dropEmpty = true) =>
  (at: OldNode): boolean => {
    const list = intsAttribute(at.node, name);
    if (!list) return false;
    if (list.length > 0 || !dropEmpty) at.setInput(index, at.integersOf(name, list));
    at.setAttributes({ [name]: undefined });
    return true;
  };

const setsMissing =
  (name: string, value: (at: OldNode) => Attribute) =>
  (at: OldNode): boolean => {
    if (at.node.attributes.has(name)) return false;
    at.setAttributes({ [name]: value(at) });
    return true;
  };

const gone =
  (what: string) =>
  (at: OldNode): boolean => {
    throw at.unsupported(what);
  };

/** Before opset 18 Split without sizes made as many parts as it has outputs. */
function countParts(at: OldNode): boolean {
  if (at.input(1)) return false;
  return setsMissing("num_outputs", ({ node }) => int(node.outputs.length))(at);
}

function sliceBoundsToInputs(at: OldNode): boolean {
  const moved = ["starts", "ends", "axes"].map((name, i) => listToInput(name, 1 + i, i === 2)(at));
  return moved.includes(true);
}

function padsToInputs(at: OldNode): boolean {
  const value = floatAttribute(at.node, "value", 0);
  listToInput("pads", 1, false)(at);
  if (value !== 0) at.setInput(2, at.constant("value", at.dataType, [], [value]));
  at.setAttributes({ value: undefined });
  return true;
}

function clipBoundsToInputs(at: OldNode): boolean {
  const bounds = ["min", "max"].map((name, i) => {
    const bound = floatAttribute(at.node, name, Number.NaN);
    if (!at.node.attributes.has(name)) return false;
    at.setInput(1 + i, at.constant(name, at.dataType, [], [bound]));
    at.setAttributes({ [name]: undefined });
    return true;
  });
  return bounds.includes(true);
}

function countToInput(at: OldNode): boolean {
  at.setInput(1, at.integersOf("k", [intAttribute(at.node, "k", 1)]));
  at.setAttributes({ k: undefined });
  return true;
}

/**
 * Softmax of the matrix that Flatten makes at `axis` (default 1). That is the new form along that axis if all axes behind it have
 * size 1, else the matrix is written out.
 */
function coerceToMatrix(at: OldNode): boolean {
  const { node } = at;
  const axis = intAttribute(node, "axis", 1);
  if (axis === -1) return false;
  const shape = at.shape(0);
  const behind = shape?.slice(frontAxis(axis, shape.length) + 1);
  if (behind?.every((dim) => dim === 1)) {
    // The axis itself stays as the file has it.
    if (behind.length > 0) return setsMissing("axis", () => int(axis))(at);
    at.setAttributes({ axis: int(-1) });
    return true;
  }
  const x = at.input(0)!;
  const rows = at.add(node.op, [at.add("Flatten", [x], { axis: int(axis) })], { axis: int(-1) }, node.name);
  const sizes = shape?.every((dim) => typeof dim === "number") ? at.integersOf("shape", shape) : undefined;
  at.replaceBy(at.add("Reshape", [rows, sizes ?? at.add("Shape", [x])]));
  return true;
}

/** Before opset 14 the outputs of training asked for the batch's own statistics. */
function requireInference(at: OldNode): boolean {
  if (at.node.outputs.slice(1).some((output) => output !== undefined))
    throw at.unsupported("is written for training");
  return false;
}

function requireSpatial(at: OldNode): boolean {
  if (intAttribute(at.node, "spatial", 1) === 0) throw at.unsupported("has statistics for each position");
  const had = at.node.attributes.has("spatial");
  at.setAttributes({ spatial: undefined });
  return had;
}

/** Inference: all elements stay. */
function keepAll(at: OldNode): boolean {
  const x = at.input(0)!;
  if (!at.isUsed(1)) {
    at.bypass(x);
    return true;
  }
  const dtype: DataType = at.opset >= 10 ? "bool" : at.dataType;
  const value = tensor(tensorOf(dtype, [1], [1]));
  const mask = at.add("ConstantOfShape", [at.add("Shape", [x])], { value });
  at.replaceBy(at.isUsed(0) ? at.add("Identity", [x]) : undefined, mask);
  return true;
}

/** Upsample, and Resize as it came in: positions x / scale; nearest takes the element before, or behind when it makes things smaller. */
function toResize(at: OldNode): boolean {
  const { node } = at;
  const list = floatsAttribute(node, "scales");
  const scales = list ? at.constant("scales", "float32", [list.length], list) : at.input(1);
  const mode = stringAttribute(node, "mode", "nearest") === "nearest" ? "nearest" : "linear";
  const rounding = mode === "nearest" ? { nearest_mode: string(nearestMode(at, list)) } : {};
  const attributes = {
    mode: string(mode),
    coordinate_transformation_mode: string("asymmetric"),
    ...rounding,
  };
  at.replaceBy(at.add("Resize", [at.input(0), undefined, scales], attributes, node.name));
  return true;
}

function nearestMode(at: OldNode, list: readonly number[] | undefined): "floor" | "ceil" {
  if (at.node.op === "Upsample") return "floor";
  const data = at.tensor(1);
  const scales = list ?? (data && [...readNumbers(data)]);
  if (!scales) throw at.unsupported("has scales that are computed");
  if (scales.every((scale) => scale >= 1)) return "floor";
  if (scales.every((scale) => scale <= 1)) return "ceil";
  throw at.unsupported("makes one axis larger and another smaller");
}

/** ⌊(x + ½)/scale⌋ is the nearest element of half pixels, the later one at equal distance. */
function renamePixelMode(at: OldNode): boolean {
  const { node } = at;
  if (stringAttribute(node, "coordinate_transformation_mode", "") !== "tf_half_pixel_for_nn") return false;
  if (stringAttribute(node, "mode", "nearest") !== "nearest") return false;
  if (stringAttribute(node, "nearest_mode", "") !== "floor") return false;
  at.setAttributes({
    coordinate_transformation_mode: string("half_pixel"),
    nearest_mode: string("round_prefer_ceil"),
  });
  return true;
}

/** Opset 11 asked for all inputs: what does not count was an empty tensor. */
function dropEmptyInputs(at: OldNode): boolean {
  const empty = [1, 2].filter((index) => at.input(index) && elementCountOf(at, index) === 0);
  for (const index of empty) at.setInput(index, undefined);
  return empty.length > 0;
}

function elementCountOf(at: OldNode, index: number): number | undefined {
  const shape = at.shape(index);
  return shape?.every((dim) => typeof dim === "number") ? elementCount(shape) : undefined;
}

function renamed(at: OldNode): boolean {
  at.replaceBy(at.add("ScatterElements", at.node.inputs, at.node.attributes, at.node.name));
  return true;
}

const gridModes: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };

function renameGridMode(at: OldNode): boolean {
  const mode = stringAttribute(at.node, "mode", "bilinear");
  at.setAttributes({ mode: string(gridModes[mode] ?? mode) });
  return true;
}

function transformAxisToInput(at: OldNode): boolean {
  at.setInput(2, at.constant("axis", "int64", [], [intAttribute(at.node, "axis", 1)]));
  at.setAttributes({ axis: undefined });
  return true;
}

/** Operators that ONNX tried out before opset 10. */
const experimental = [
  "Affine",
  "ATen",
  "Crop",
  "DynamicSlice",
  "GRUUnit",
  "GivenTensorFill",
  "ImageScaler",
  "ParametricSoftplus",
  "Scale",
  "ScaledTanh",
];

const each = (ops: readonly string[], forms: readonly OldForm[]): Record<string, readonly OldForm[]> =>
  Object.fromEntries(ops.map((op) => [op, forms]));

/**
 * The forms that operators had since opset 7 and that later sets do not read the same way, oldest first. What later sets only allow
 * in addition (types, negative axes, attributes whose default is the old behaviour) needs no row.
 */
export const oldForms: Readonly<Record<string, readonly OldForm[]>> = {
  ...each(reduceOps, [{ until: 18, upgrade: listToInput("axes", 1) }]),
  ReduceSum: [{ until: 13, upgrade: listToInput("axes", 1) }],
  Squeeze: [{ until: 13, upgrade: listToInput("axes", 1) }],
  Unsqueeze: [{ until: 13, upgrade: listToInput("axes", 1, false) }],
  Split: [
    { until: 13, upgrade: listToInput("split", 1) },
    { until: 18, upgrade: countParts },
  ],
  Slice: [{ until: 10, upgrade: sliceBoundsToInputs }],
  Pad: [{ until: 11, upgrade: padsToInputs }],
  Clip: [{ until: 11, upgrade: clipBoundsToInputs }],
  TopK: [{ until: 10, upgrade: countToInput }],
  ...each(["Softmax", "LogSoftmax", "Hardmax"], [{ until: 13, upgrade: coerceToMatrix }]),
  BatchNormalization: [
    { until: 9, upgrade: requireSpatial },
    { until: 14, upgrade: requireInference },
  ],
  Dropout: [{ until: 12, upgrade: keepAll }],
  Upsample: [{ until: 18, upgrade: toResize }],
  Resize: [
    { until: 11, upgrade: toResize },
    { until: 13, upgrade: renamePixelMode },
    { until: 18, upgrade: dropEmptyInputs },
  ],
  Scatter: [{ until: 18, upgrade: renamed }],
  RoiAlign: [
    {
      until: 16,
      upgrade: setsMissing("coordinate_transformation_mode", () => string("output_half_pixel")),
    },
  ],
  Scan: [{ until: 9, upgrade: gone("runs over a batch of sequences") }],
  MeanVarianceNormalization: [{ until: 9, upgrade: gone("is an experimental operator") }],
  ...each(experimental, [{ until: 10, upgrade: gone("is an experimental operator") }]),
  GridSample: [{ until: 20, upgrade: renameGridMode }],
  DFT: [{ until: 20, upgrade: transformAxisToInput }],
};
