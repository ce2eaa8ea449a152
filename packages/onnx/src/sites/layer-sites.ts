import type { Coupling } from "../coupling/analyse.ts";
import { Space } from "../coupling/space.ts";
import { describeNode, type Dim, type Graph, type Node, type Value } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { outputAxis } from "./coupled-slices.ts";
import { squaredSlices } from "./group-norms.ts";
import { branchFreeName } from "./branch-free-name.ts";
import type { CoupledSlice, ResidualBranch, Site } from "./site.ts";

/** Where `addLayerSites` writes. */
interface LayerSurvey {
  readonly coupling: Coupling;
  readonly fingerprint: string;
  readonly channels: Map<Space, number>;
  readonly sites: Map<string, Site>;
  readonly branches: Map<string, ResidualBranch>;
}

/** The end of a residual branch: its last weight, and what follows up to the Add. */
interface BranchEnd {
  readonly node: Node;
  readonly weight: Value;
  readonly axis: number;
  /** Biases, scales and shifts that go to zero with the weight. */
  readonly parameters: readonly Value[];
  /** Whether something that shifts cannot go to zero, because other layers use it or it is a single number. */
  readonly fixed: boolean;
  /** BatchNormalization after the weight. */
  readonly normalisation: Node | undefined;
}

/**
 * Adds the sites of kind `layers`: residual branches that can disappear as a whole. A branch is an operand of an Add that
 *
 * - has the full shape of the sum, as the other operand has, which is also an ancestor of the branch (the skip);
 * - ends in a MatMul, Gemm, Conv or ConvTranspose with a fixed weight, and at most a bias Add, a constant factor, a
 *   BatchNormalization, a Dropout or a Reshape or Transpose after it; all of that is used by the Add alone.
 *
 * A site has one group: the weight's whole output axis. Its name is that of the weight's node. Its one score is
 *
 *     ‖diag(γ / √(σ² + ε)) · W‖_F / √channels
 *
 * with γ and σ² of the BatchNormalization if there is one: the root mean square of what the branch adds to a channel of the
 * stream, were the input of its last layer white noise of variance 1. So layers of different widths compare.
 */
export function addLayerSites(survey: LayerSurvey): void {
  const { coupling, sites, branches, channels, fingerprint } = survey;
  const position = new Map(coupling.nodes.map((node, at) => [node, at]));
  for (const add of coupling.nodes) {
    const branch = branchOf(coupling, add, position);
    if (!branch) continue;
    const { end, operand } = branch;
    const name = `${branchFreeName(coupling.graph, end.node)}.layer`;
    const axisSize = end.weight.data!.shape[end.axis]!;
    if (sites.has(name)) continue;
    const channel = channels.size;
    channels.set(new Space(1), channel);
    branches.set(name, {
      sum: add.outputs[0]!.name,
      operand,
      dtype: coupling.inference.types.get(add.outputs[0]!)?.dtype ?? end.weight.data!.dtype,
      channels: axisSize,
      emits: end.fixed ? "always" : end.parameters.length > 0 ? "biases" : "nothing",
    });
    sites.set(name, {
      name,
      kind: "layers",
      node: branchFreeName(coupling.graph, end.node),
      tensor: end.weight.name,
      axis: end.axis,
      axisSize,
      groups: 1,
      blockSize: axisSize,
      places: wholeAxis(axisSize),
      prunable: tiedReason(coupling.graph, end),
      channel,
      coupled: end.parameters.map(parameterSlice),
      fingerprint,
      norms: () => Float64Array.of(branchScore(end)),
      source: () => survey,
    });
  }
}

const wholeAxis = (size: number): Site["places"] => [
  { offset: 0, stride: size, loops: [{ count: size, stride: 1 }] },
];

const parameterSlice = ({ name, data }: Value): CoupledSlice => {
  const axisSize = data!.shape[0]!;
  return { tensor: name, axis: 0, axisSize, role: "parameter", places: wholeAxis(axisSize) };
};

function tiedReason(graph: Graph, { node, weight }: BranchEnd): true | string {
  const other = graph.uses(weight).find((use) => use.node !== node)?.node;
  return other ? `${describeNode(other)} uses the same weight` : true;
}

/** The operand of an Add that is a residual branch, and how it ends. */
function branchOf(
  coupling: Coupling,
  add: Node,
  position: ReadonlyMap<Node, number>,
): { operand: 0 | 1; end: BranchEnd } | undefined {
  const [a, b] = add.inputs;
  if (add.op !== "Add" || add.domain !== "" || !a || !b || a === b) return undefined;
  const { types } = coupling.inference;
  const shape = types.get(add.outputs[0]!)?.shape;
  if (!shape || ![a, b].every((value) => sameShape(types.get(value)?.shape, shape))) return undefined;
  for (const operand of [1, 0] as const) {
    const end = branchEnd(coupling.graph, operand === 0 ? a : b);
    if (end && isAncestor(coupling.graph, operand === 0 ? b : a, end.node, position)) return { operand, end };
  }
  return undefined;
}

function sameShape(a: readonly Dim[] | undefined, b: readonly Dim[]): boolean {
  return a?.length === b.length && a.every((dim, axis) => dim !== undefined && dim === b[axis]);
}

/** Walks back from an operand of the Add to the last weight of its branch. */
function branchEnd(graph: Graph, operand: Value): BranchEnd | undefined {
  const parameters: Value[] = [];
  let [fixed, normalisation, at] = [false, undefined as Node | undefined, operand];
  for (;;) {
    const node = graph.producer(at);
    if (!node || node.domain !== "" || node.outputs[0] !== at || graph.uses(at).length !== 1)
      return undefined;
    const weight = node.inputs[1];
    const data = weight && fixedData(graph, weight);
    const axis = data && outputAxis(node, data.shape.length);
    const shifts = axis === undefined ? shiftsOf(graph, node) : [node.inputs[2]];
    if (!shifts) return undefined;
    for (const value of shifts) {
      if (!value) continue;
      const own = graph.uses(value).length === 1 && (fixedData(graph, value)?.shape.length ?? 0) > 0;
      if (own) parameters.push(value);
      else fixed = true;
    }
    if (axis !== undefined && weight) return { node, weight, axis, parameters, fixed, normalisation };
    if (node.op === "BatchNormalization") normalisation ??= node;
    at = node.inputs[0] && !fixedData(graph, node.inputs[0]) ? node.inputs[0] : node.inputs[1]!;
  }
}

/** What a node between weight and Add adds to its data; `undefined` if a branch cannot end in such a node. */
function shiftsOf(graph: Graph, { op, inputs }: Node): readonly (Value | undefined)[] | undefined {
  const constants = inputs.filter((value) => value && fixedData(graph, value));
  switch (op) {
    case "Identity":
    case "Dropout":
    case "Reshape":
    case "Squeeze":
    case "Transpose":
    case "Unsqueeze":
      return [];
    case "Add":
      return constants.length === 1 && inputs.length === 2 ? constants : undefined;
    case "Mul":
      return constants.length === 1 && inputs.length === 2 ? [] : undefined;
    case "BatchNormalization":
      return constants.length === 4 && inputs.length === 5 ? [inputs[1], inputs[2]] : undefined;
    default:
      return undefined;
  }
}

/** Whether a node's result depends on `value`; only nodes that come after it are looked at. */
function isAncestor(graph: Graph, value: Value, node: Node, position: ReadonlyMap<Node, number>): boolean {
  const source = graph.producer(value);
  const first = source ? position.get(source)! : -1;
  const seen = new Set<Node>([node]);
  const open = [node];
  for (let next = open.pop(); next; next = open.pop()) {
    for (const input of next.inputs) {
      if (input === value) return true;
      const producer = input && graph.producer(input);
      if (producer && position.get(producer)! > first && !seen.has(producer)) {
        seen.add(producer);
        open.push(producer);
      }
    }
  }
  return false;
}

function branchScore({ weight, axis, normalisation }: BranchEnd): number {
  const squares = squaredSlices(weight.data!, axis);
  const [gamma, variance] = [1, 4].map((i) => {
    const data = normalisation?.inputs[i]?.data;
    return data && readNumbers(data);
  });
  const epsilon = normalisation ? floatAttribute(normalisation, "epsilon", 1e-5) : 0;
  const total = squares.reduce((sum, square, j) => {
    const scale = gamma && variance ? gamma[j]! ** 2 / (variance[j]! + epsilon) : 1;
    return sum + square * scale;
  }, 0);
  return Math.sqrt(total / squares.length);
}
