import type { Node, Value } from "../graph/graph.ts";
import { NodeView } from "../infer/view.ts";
import { frontAxis, intAttribute, intsAttribute } from "../ops/attributes.ts";
import type { PatternReader } from "../training-form/pattern.ts";
import type { Atom, AxisAtoms, Layout } from "./axis-layout.ts";
import { knownNumber } from "./known-number.ts";

/** A value that another one is a moved and scaled copy of. */
export interface Stage {
  readonly value: Value;
  readonly layout: Layout;
  /** What the value is multiplied by on the way. */
  readonly factor: number;
}

const shapeOf = ({ inference }: PatternReader, value: Value | undefined) =>
  value && inference.types.get(value)?.shape;

/** A value, what it is moved and scaled from, what that is moved and scaled from, and so on. */
export function stagesBehind(
  pattern: PatternReader,
  atoms: AxisAtoms,
  from: Value,
  layout: Layout,
): readonly Stage[] {
  const stages: Stage[] = [];
  let next: Stage | undefined = { value: pattern.source(from), layout, factor: 1 };
  while (next) {
    stages.push(next);
    next = stageBehind(pattern, atoms, next);
  }
  return stages;
}

function stageBehind(pattern: PatternReader, atoms: AxisAtoms, stage: Stage): Stage | undefined {
  const node = pattern.graph.producer(stage.value);
  if (!node || node.domain !== "") return undefined;
  if (node.op === "Mul" || node.op === "Div") return unscaled(pattern, node, stage);
  const input = node.inputs[0] && pattern.source(node.inputs[0]);
  const layout = input && layoutBehind(pattern, atoms, node, stage);
  return layout && { ...stage, value: input, layout };
}

function unscaled(pattern: PatternReader, node: Node, stage: Stage): Stage | undefined {
  for (const [index, other] of node.op === "Mul"
    ? ([
        [0, 1],
        [1, 0],
      ] as const)
    : ([[0, 1]] as const)) {
    const number = knownNumber(pattern, node.inputs[other]);
    const value = node.inputs[index];
    if (number === undefined || !value) continue;
    const factor = stage.factor * (node.op === "Mul" ? number : 1 / number);
    return { ...stage, value: pattern.source(value), factor };
  }
  return undefined;
}

/** The layout of the first input of a node that moves axes, given that of its output. */
function layoutBehind(
  pattern: PatternReader,
  atoms: AxisAtoms,
  node: Node,
  { value: output, layout }: Stage,
): Layout | undefined {
  const shape = shapeOf(pattern, node.inputs[0]);
  if (!shape) return undefined;
  switch (node.op) {
    case "Reshape":
    case "Flatten":
    case "Squeeze":
    case "Unsqueeze":
      return atoms.reshape(layout, shape);
    case "Transpose": {
      const perm = permutation(node, layout.length);
      return shape.map((_, axis) => layout[perm.indexOf(axis)] ?? []);
    }
    case "Gather":
      return layoutBeforeGather(pattern, node, layout);
    case "Split":
      return layoutBeforeSplit(pattern, node, output, layout);
    default:
      return undefined;
  }
}

const permutation = (node: Node, rank: number): readonly number[] =>
  intsAttribute(node, "perm") ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);

/** One index of an axis: that axis comes back, with one element picked. */
function layoutBeforeGather(pattern: PatternReader, node: Node, layout: Layout): Layout | undefined {
  const shape = shapeOf(pattern, node.inputs[0])!;
  const [index] = new NodeView(pattern.graph, node, pattern.inference).integers(1) ?? [];
  const picks = shapeOf(pattern, node.inputs[1])?.length === 0;
  if (index === undefined || !picks || layout.length !== shape.length - 1) return undefined;
  const axis = frontAxis(intAttribute(node, "axis", 0), shape.length);
  const size = shape[axis];
  if (typeof size !== "number") return undefined;
  return layout.toSpliced(axis, 0, [{ dim: size, picked: index < 0 ? index + size : index }]);
}

/** One of the parts of one element that an axis is split into. */
function layoutBeforeSplit(
  pattern: PatternReader,
  node: Node,
  output: Value,
  layout: Layout,
): Layout | undefined {
  const shape = shapeOf(pattern, node.inputs[0])!;
  const axis = frontAxis(intAttribute(node, "axis", 0), shape.length);
  const size = shape[axis];
  if (size !== node.outputs.length || shapeOf(pattern, output)?.[axis] !== 1) return undefined;
  return layout.with(axis, [{ dim: size, picked: node.outputs.indexOf(output) }]);
}

/** A value and what it goes into by moves alone, one use after the other. */
export function stagesAfter(
  pattern: PatternReader,
  atoms: AxisAtoms,
  from: Value,
  layout: Layout,
): readonly Pick<Stage, "value" | "layout">[] {
  const stages = [{ value: from, layout }];
  for (let at = stages[0]; at; ) {
    const node = moveOf(pattern, at.value);
    const value = node?.outputs[0];
    const next: Layout | undefined = node && value && layoutAfter(pattern, atoms, node, at.layout);
    at = next && value && { value, layout: next };
    if (at) stages.push(at);
  }
  return stages;
}

/** The only node that uses a value, beside those that read its sizes. */
function moveOf(pattern: PatternReader, value: Value): Node | undefined {
  const { graph } = pattern;
  const users = graph.uses(value).filter(({ node }) => node?.op !== "Shape" || node.domain !== "");
  const [use, second] = users;
  if (!use?.node || use.index !== 0 || second) return undefined;
  return use.node.op === "Identity" ? pattern.user(value) : use.node;
}

/** The layout of the output of a node that moves axes, given that of its input. */
export function layoutAfter(
  pattern: PatternReader,
  atoms: AxisAtoms,
  node: Node,
  layout: Layout,
): Layout | undefined {
  if (node.domain !== "") return undefined;
  const shape = shapeOf(pattern, node.outputs[0]);
  switch (node.op) {
    case "Reshape":
    case "Flatten":
    case "Squeeze":
    case "Unsqueeze":
      return shape && atoms.reshape(layout, shape);
    case "Transpose":
      return permutation(node, layout.length).map((axis) => layout[axis] ?? ([] as readonly Atom[]));
    default:
      return undefined;
  }
}
