import { DgateError } from "@dgate/core";
import { type Coupling, cutDim, cutSize, keptIndices, nodeName, type Removal } from "../coupling/analyse.ts";
import type { Reduction, SizeUse } from "../coupling/axis-context.ts";
import type { Space } from "../coupling/space.ts";
import { int, ints } from "../graph/attribute.ts";
import { type Dim, describeNode, type Node, type Value } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { gatherTensor, readNumbers, tensorOf } from "../io/tensor-data.ts";
import type { Tensor } from "../graph/tensor.ts";
import { packRows, unpackRows } from "../quantization/quantization.ts";
import { frontAxis, intsAttribute } from "../ops/attributes.ts";
import { emitSizes } from "./emit-sizes.ts";
import { freshNodeName } from "./fresh-node-name.ts";
import { insertAfter } from "./insert-after.ts";

/** How a model input or output changed. */
export interface PortCut {
  readonly value: Value;
  readonly axis: number;
  readonly size: number;
  readonly kept: readonly number[];
  readonly mode: InputMode;
}

/** What changed at the model's border. */
export interface BorderCut {
  readonly inputs: readonly PortCut[];
  readonly outputs: readonly PortCut[];
}

/** What becomes of a model input whose features are removed. */
export type InputMode = "gather" | "resize";

/**
 * Cuts every constant, size and declared type of a graph to what a removal leaves.
 *
 * @throws DgateError `CHECK` if the shapes that follow from the cut graph are not the expected ones; the graph is then spoilt
 */
export function cut(coupling: Coupling, removal: Removal, mode: InputMode): BorderCut {
  const { graph } = coupling;
  for (const use of coupling.sizes) cutSizeUse(coupling, use, removal);
  for (const reduction of coupling.reductions) rescaleMean(coupling, reduction, removal);
  for (const value of graph.initializers) cutConstant(coupling, value, removal);
  for (const value of graph.values) retype(coupling, value, removal);
  const inputs = cutInputs(coupling, removal, mode);
  checkShapes(coupling, removal, mode);
  return { inputs, outputs: graph.outputs.flatMap((value) => portCuts(coupling, value, removal, "resize")) };
}

/** The mean over n channels of which n′ are left, the others being zero, is n′/n times the mean over those. */
function rescaleMean(coupling: Coupling, { node, space, mean }: Reduction, removal: Removal): void {
  const { graph, inference } = coupling;
  const size = cutSize(space, removal);
  const output = node.outputs[0];
  if (!mean || !output || size === undefined || size === space.size) return;
  const { dtype } = inference.types.get(output)!;
  const name = `${nodeName(node)}.rescale`;
  const factor = graph.addInitializer(graph.freshName(name), tensorOf(dtype, [], [size / space.size!]));
  insertAfter(coupling, output, { op: "Mul", name, before: "unscaled" }, factor);
}

function cutConstant(coupling: Coupling, value: Value, removal: Removal): void {
  coupling.axesOf(value)?.forEach((space, axis) => {
    const kept = keptIndices(space, removal);
    if (kept) coupling.graph.setData(value, gatherTensor(value.data!, axis, kept));
  });
}

function retype({ axesOf }: Coupling, value: Value, removal: Removal): void {
  const { type } = value;
  const axes = axesOf(value);
  if (value.data || !type?.shape || axes?.length !== type.shape.length) return;
  const shape = type.shape.map((dim, axis) =>
    typeof dim === "number" ? cutNumber(axes[axis]!, dim, removal) : dim,
  );
  if (shape.some((dim, axis) => dim !== type.shape![axis])) value.type = { dtype: type.dtype, shape };
}

function cutNumber(space: Space, dim: number, removal: Removal): Dim {
  return space.size === dim ? cutSize(space, removal) : dim;
}

/** A model input keeps its shape and is gathered from (before everything that reads it), or shrinks itself, as caches do. */
function cutInputs(coupling: Coupling, removal: Removal, mode: InputMode): PortCut[] {
  const cuts = coupling.graph.requiredInputs.flatMap((value) =>
    portCuts(coupling, value, removal, coupling.caches.inputs.has(value) ? "resize" : mode),
  );
  for (const each of cuts) if (each.mode === "gather") gatherInput(coupling, each);
  return cuts;
}

function portCuts({ axesOf }: Coupling, value: Value, removal: Removal, mode: InputMode): PortCut[] {
  return (axesOf(value) ?? []).flatMap((space, axis): PortCut[] => {
    const kept = keptIndices(space, removal);
    return kept ? [{ value, axis, size: space.size ?? 0, kept, mode }] : [];
  });
}

function gatherInput({ graph, inference }: Coupling, { value, axis, size, kept }: PortCut): void {
  const indices = graph.addInitializer(
    graph.freshName(`${value.name}.features`),
    tensorOf("int64", [kept.length], kept),
  );
  const before = inference.types.get(value)!;
  value.type = { dtype: before.dtype, shape: (value.type ?? before).shape!.with(axis, size) };
  const readers = graph.uses(value).slice();
  const picked = graph.addNode({
    op: "Gather",
    name: freshNodeName(graph, `${value.name}.select`),
    inputs: [value, indices],
    attributes: { axis: int(axis) },
  });
  for (const { node, index } of readers)
    if (node && index >= 0) graph.setInput(node, index, picked.outputs[0]);
}

function cutSizeUse(coupling: Coupling, use: SizeUse, removal: Removal): void {
  switch (use.kind) {
    case "attribute": {
      const size = cutSize(use.space, removal);
      if (size !== undefined && size !== use.space.size)
        coupling.graph.setAttribute(use.node, use.name, int(size));
      return;
    }
    case "packed":
      return cutPacked(coupling, use, removal);
    case "attributes": {
      if (!changed(use.spaces, removal)) return;
      const sizes = use.spaces.map((space) => cutSize(space, removal) ?? 0);
      coupling.graph.setAttribute(use.node, use.name, ints(sizes));
      return;
    }
    case "shape":
      return cutShapeOperand(coupling, use, removal);
    case "split":
      return cutSplit(coupling, use, removal);
    case "slice":
      return cutSlice(coupling, use, removal);
    case "pad":
      return cutPad(coupling, use, removal);
  }
}

/** Numbers of less than a byte, `[rows, blocks]`, every row padded to whole bytes. */
function cutPacked(
  { graph }: Coupling,
  { value, bits, rows, blocks }: Extract<SizeUse, { kind: "packed" }>,
  removal: Removal,
): void {
  if (!changed([rows, blocks], removal)) return;
  const { dtype, shape, bytes } = value.data!;
  let codes: Tensor = {
    dtype,
    shape: [rows.size!, blocks.size!],
    bytes: unpackRows(bytes, bits, rows.size!, blocks.size!),
  };
  [rows, blocks].forEach((space, axis) => {
    const kept = keptIndices(space, removal);
    if (kept) codes = gatherTensor(codes, axis, kept);
  });
  const [height, width] = [codes.shape[0]!, codes.shape[1]!];
  const packed = packRows(codes.bytes, bits, height, width);
  const flat = shape.length === 1;
  graph.setData(value, {
    dtype,
    shape: flat ? [packed.length] : [height, packed.length / height],
    bytes: packed,
  });
}

const changed = (spaces: readonly Space[], removal: Removal): boolean =>
  spaces.some((space) => space.size !== undefined && cutSize(space, removal) !== space.size);

/** Rewrites the sizes that changed. */
function cutShapeOperand(
  coupling: Coupling,
  use: Extract<SizeUse, { kind: "shape" }>,
  removal: Removal,
): void {
  const sizes = cutShape(coupling, use, removal);
  if (!sizes) return;
  const numbers = sizes.filter((size) => typeof size === "number");
  if (numbers.length === sizes.length) replaceOperand(coupling, use.node, use.input, numbers);
  else coupling.graph.setInput(use.node, use.input, emitSizes(coupling, sizes));
}

/**
 * The sizes that an operand lists after a cut, names where they have to be computed; in a constant list 0 (copy) and −1 (infer)
 * stay. `undefined` if the operand stays as it is.
 */
export function cutShape(
  coupling: Coupling,
  { node, input, spaces }: Extract<SizeUse, { kind: "shape" }>,
  removal: Removal,
): readonly Dim[] | undefined {
  const operand = node.inputs[input]!;
  const dims = spaces.map((space) => cutDim(space, removal));
  const same = dims.every((dim, axis) => dim === (spaces[axis]!.size ?? spaces[axis]!.symbol));
  if (same && (operand.data || !readsCutSizes(coupling, operand, removal))) return undefined;
  const old = operand.data && readNumbers(operand.data);
  const source = coupling.axesOf(node.inputs[0]!);
  const copies = node.op === "Reshape" && source;
  const sizes = dims.map((dim, axis) => {
    if (old?.[axis] === -1) return -1;
    const copied = copies && source[axis] && cutDim(source[axis], removal) === dim && dim !== undefined;
    if (copied && (old ? old[axis] === 0 : typeof dim !== "number")) return 0;
    return dim ?? old?.[axis];
  });
  // A size of zero at run time leaves −1 undecided, so it takes the place of a size only where no other is open.
  const open = sizes.filter((size) => typeof size !== "number");
  const infers = node.op === "Reshape" && open.length === 1 && !sizes.includes(-1) && !sizes.includes(0);
  return infers ? sizes.map((size) => (typeof size === "number" ? size : -1)) : sizes;
}

/** Whether a computed list of sizes reads the size of an axis that is cut. */
function readsCutSizes({ graph, axesOf }: Coupling, operand: Value, removal: Removal): boolean {
  const seen = new Set<Value>();
  const open: Value[] = [operand];
  for (let value = open.pop(); value; value = open.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    const producer = graph.producer(value);
    if (!producer) continue;
    if (producer.op !== "Shape" && producer.op !== "Size")
      open.push(...producer.inputs.filter((each) => each !== undefined));
    else if (axesOf(producer.inputs[0]!)?.some((space) => isCut(space, removal))) return true;
  }
  return false;
}

const isCut = (space: Space, removal: Removal): boolean =>
  space.leaves().some((leaf) => (removal.get(leaf)?.size ?? 0) > 0);

function cutSplit(
  coupling: Coupling,
  { node, spaces }: Extract<SizeUse, { kind: "split" }>,
  removal: Removal,
): void {
  if (!changed(spaces, removal)) return;
  const { graph } = coupling;
  const sizes = spaces.map((space) => cutSize(space, removal) ?? 0);
  if ((graph.opsets.get("") ?? 1) < 13) return graph.setAttribute(node, "split", ints(sizes));
  graph.setAttribute(node, "num_outputs", undefined);
  replaceOperand(coupling, node, 1, sizes);
}

function cutSlice(coupling: Coupling, use: Extract<SizeUse, { kind: "slice" }>, removal: Removal): void {
  const { node, at, before, taken, after } = use;
  // A negative bound counts from the end, so what lies after matters too.
  if (!changed([before, taken, after], removal)) return;
  const start = cutSize(before, removal) ?? 0;
  const end = start + (cutSize(taken, removal) ?? 0);
  for (const [input, number] of [
    [1, start],
    [2, end],
  ] as const) {
    const numbers = [...readNumbers(node.inputs[input]!.data!)];
    replaceOperand(coupling, node, input, numbers.with(at, number));
  }
}

/** The amounts are an attribute in older operator sets, an input in newer ones, which may list only some axes. */
function cutPad(
  coupling: Coupling,
  { node, axis, before, after }: Extract<SizeUse, { kind: "pad" }>,
  removal: Removal,
): void {
  if (!changed([before, after], removal)) return;
  const operand = node.inputs[1];
  const pads = operand?.data ? [...readNumbers(operand.data)] : [...(intsAttribute(node, "pads") ?? [])];
  const rank = coupling.axesOf(node.inputs[0]!)?.length ?? pads.length / 2;
  const listed = node.inputs[3]?.data && [...readNumbers(node.inputs[3].data)];
  const at = listed ? listed.findIndex((each) => frontAxis(each, rank) === axis) : axis;
  pads[at] = cutSize(before, removal) ?? 0;
  pads[at + pads.length / 2] = cutSize(after, removal) ?? 0;
  if (operand) replaceOperand(coupling, node, 1, pads);
  else coupling.graph.setAttribute(node, "pads", ints(pads));
}

/** Gives a node its own list of integers: an old list that other nodes use too is left as it is. */
function replaceOperand(
  { graph, assign, axesOf }: Coupling,
  node: Node,
  input: number,
  numbers: readonly number[],
): void {
  const old = node.inputs[input];
  const data = tensorOf(old?.data?.dtype === "int32" ? "int32" : "int64", [numbers.length], numbers);
  if (old?.data && graph.uses(old).length === 1) return graph.setData(old, data);
  const value = graph.addInitializer(graph.freshName(old?.data ? old.name : `${nodeName(node)}.sizes`), data);
  const axes = old && axesOf(old);
  if (axes) assign(value, axes);
  graph.setInput(node, input, value);
}

/** The cut graph must give each value the size that its spaces say: a proof against a wrong row in the tables. */
function checkShapes(coupling: Coupling, removal: Removal, mode: InputMode): void {
  const { graph } = coupling;
  const { types } = inferShapes(graph);
  const full = new Set(mode === "gather" ? graph.requiredInputs : []);
  for (const use of coupling.sizes) if (use.kind === "packed") full.add(use.value);
  for (const value of graph.values) {
    const axes = coupling.axesOf(value);
    const shape = types.get(value)?.shape;
    if (!axes || !shape || full.has(value)) continue;
    const expected = axes.map((space) => cutSize(space, removal));
    const wrong =
      shape.length !== axes.length ||
      shape.some(
        (dim, axis) => typeof dim === "number" && expected[axis] !== undefined && dim !== expected[axis],
      );
    if (!wrong) continue;
    const producer = graph.producer(value);
    throw new DgateError(
      "CHECK",
      `prune: ${producer ? describeNode(producer) : `"${value.name}"`} would give [${shape.join(", ")}] instead of ` +
        `[${shape.map((dim, axis) => expected[axis] ?? dim).join(", ")}]; the model is left as it was. Leave this site out of the plan, and please report the model.`,
    );
  }
}
