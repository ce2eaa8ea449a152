import {
  analyseCoupling,
  type Coupling,
  type Occurrence,
  occurrences,
  whyBlocked,
} from "../coupling/analyse.ts";
import { Space } from "../coupling/space.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { intAttribute } from "../ops/attributes.ts";
import { isBlockwise, quantizedForm } from "../ops/quantized-forms.ts";
import { applyTo } from "../ops/rule-of.ts";
import { featureAxes, sourceInput } from "../prune/feature-inputs.ts";
import { fingerprintOfNormal } from "../prune/mask.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { normalise } from "../normal-form/normalise.ts";
import { attentionOf, type FoundAttention } from "./attention.ts";
import { coupledSlices, einsumOutputAxes, outputAxis } from "./coupled-slices.ts";
import { groupNorms } from "./group-norms.ts";
import { quantizationOf } from "../quantization/quantization-of.ts";
import { realTensor } from "../quantization/real-tensor.ts";
import { addLayerSites } from "./layer-sites.ts";
import { constantBehind, quantizedLayer, type QuantizedLayer } from "../quantization/quantized-layer.ts";
import type { CoupledSlice, ResidualBranch, Site, SiteKind } from "./site.ts";
import { branchFreeName } from "./branch-free-name.ts";
import { uniqueName } from "./unique-name.ts";

/** What all sites of one model share. */
interface Survey {
  readonly coupling: Coupling;
  readonly branches: Map<string, ResidualBranch>;
  readonly slices: ReadonlyMap<Space, readonly CoupledSlice[]>;
  readonly fingerprint: string;
  /** Leaves of attention layers, which make sites of their own kind. */
  readonly attention: ReadonlyMap<Space, HeadSpace>;
  readonly channels: Map<Space, number>;
  readonly sites: Map<string, Site>;
  /** See `uniqueName`. */
  readonly nextNames: Map<string, number>;
}

/** A leaf of an attention layer. */
interface HeadSpace {
  readonly layer: FoundAttention;
  readonly kind: "heads" | "queries" | "headDims";
}

/** A weight and the axis that groups are on. */
interface Place {
  readonly kind: SiteKind;
  readonly node: Node;
  readonly weight: Value;
  readonly axis: number;
  /** The channels, where the axis holds others too. */
  readonly channels?: Space;
  /** Why nothing can go, where the axis does not say it. */
  readonly reason?: string;
}

/**
 * All places of a model where groups of channels can be removed, with everything that goes with them, and those where none
 * can, with the reason. The graph is not changed.
 *
 * Kinds: `neurons` (outputs of Gemm and MatMul), `filters` (of Conv and ConvTranspose), `inputs` (features of the model's
 * inputs that a layer reads), `dimensions` (of an embedding), `layers` (whole residual branches), and of attention layers
 * `heads`, `queries` (of every key–value head, where they share it) and `headDims`.
 *
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export function findSites(graph: Graph): Site[] {
  const coupling = analyseCoupling(normalise(graph));
  const slices = coupledSlices(coupling);
  const layers = attentionOf(coupling, slices);
  const survey: Survey = {
    coupling,
    branches: new Map(),
    slices,
    attention: headSpaces(layers),
    fingerprint: fingerprintOfNormal(coupling.graph),
    channels: new Map(),
    sites: new Map(),
    nextNames: new Map(),
  };
  const seen = new Set<string>();
  for (const node of coupling.nodes) {
    for (const place of applyTo(node, () => placesOf(coupling, node))) {
      const key = `${place.weight.name} ${place.axis}`;
      if (seen.has(key)) continue; // a tied weight is one site
      seen.add(key);
      if (place.kind === "inputs") addFeatures(survey, place);
      else addChannels(survey, place);
    }
  }
  addLayerSites(survey);
  return [...survey.sites.values()];
}

function headSpaces(layers: readonly FoundAttention[]): ReadonlyMap<Space, HeadSpace> {
  const found = new Map<Space, HeadSpace>();
  for (const layer of layers) {
    const { kvLeaves, queryLeaves, dimLeaves } = layer;
    const put = (leaves: readonly Space[], kind: HeadSpace["kind"]): void => {
      // Layers with tied weights share their heads: one site, named after the first.
      for (const leaf of leaves) if (!found.has(leaf)) found.set(leaf, { layer, kind });
    };
    put(kvLeaves, "heads");
    // With one key–value head for all, the queries are the heads.
    put(queryLeaves, kvLeaves.length > 0 ? "queries" : "heads");
    put(dimLeaves, "headDims");
  }
  return found;
}

function placesOf(coupling: Coupling, node: Node): Place[] {
  const { graph } = coupling;
  const quantized = quantizedPlaces(coupling, node);
  if (quantized) return quantized;
  if (node.op === "Gather" && node.domain === "") {
    const table = node.inputs[0] && constantBehind(graph, node.inputs[0])?.value;
    const rows = intAttribute(node, "axis", 0) === 0 && fixedData(graph, node.inputs[1]!) === undefined;
    if (!table || !rows || fixedData(graph, table)?.shape.length !== 2) return [];
    return [{ kind: "dimensions", node, weight: table, axis: 1 }];
  }
  const weight = node.inputs[1];
  const data = weight && fixedData(graph, weight);
  if (data && node.op === "Einsum") {
    return einsumOutputAxes(coupling, node, 1).map((at) => ({
      kind: "neurons",
      node,
      weight,
      axis: at,
    }));
  }
  const axis = data && outputAxis(node, data.shape.length);
  if (axis === undefined || axis >= data!.shape.length) return [];
  const kind = /^(Fused)?Conv/.test(node.op) ? "filters" : "neurons";
  const outputs: Place = { kind, node, weight: weight!, axis };
  const features = featurePlace(coupling, node, weight!);
  return features ? [features, outputs] : [outputs];
}

/** The weight of a layer in a quantized form, and the features of a model input that it reads. */
function quantizedPlaces(coupling: Coupling, node: Node): Place[] | undefined {
  const { graph, axesOf } = coupling;
  const table = isBlockwise(node, "GatherBlockQuantized") ? node.inputs[0] : undefined;
  if (table && fixedData(graph, table)?.shape.length === 2) {
    const width = node.outputs[0] && axesOf(node.outputs[0])?.at(-1);
    return [{ kind: "dimensions", node, weight: table, axis: 1, ...(width && { channels: width }) }];
  }
  const layer = quantizedLayer(graph, node);
  if (!layer) return undefined;
  const { weight, op, outputAxis: axis } = layer;
  const isConv = op.startsWith("Conv");
  const channels = node.outputs[0] && axesOf(node.outputs[0])?.at(isConv ? 1 : -1);
  const outputs: Place = { kind: isConv ? "filters" : "neurons", node, weight, axis };
  const features = packedFeatures(coupling, node, layer) ?? featurePlace(coupling, node, weight);
  return [...(features ? [features] : []), channels ? { ...outputs, channels } : outputs];
}

/** Features that single ones cannot be picked from, with the reason. */
function packedFeatures({ graph }: Coupling, node: Node, layer: QuantizedLayer): Place | undefined {
  const { weight, inputAxis } = layer;
  const data = node.inputs[0];
  if (!data || !sourceInput(graph, data)) return undefined;
  const quantization = quantizationOf(graph, weight);
  // The blocks of MatMulNBits are an axis of their own; the flat rows of MatMulBnb4 have no axis for them.
  const blocks = isBlockwise(node, "MatMulNBits") ? 1 : inputAxis;
  const packed =
    quantization && quantization.blockSize > 0 && (inputAxis ?? quantization.axis) === quantization.axis;
  if (blocks === undefined) return undefined;
  const place: Place = { kind: "inputs", node, weight, axis: blocks };
  if (packed)
    return { ...place, reason: "its weights are packed in blocks, and single features are no blocks" };
  return quantizedForm(node)?.takesRange
    ? { ...place, reason: `${describeNode(node)} takes its range from all features` }
    : undefined;
}

/** The features of a model input that a layer reads: moved only on the way, or scaled one by one. */
function featurePlace({ graph, inference, axesOf }: Coupling, node: Node, weight: Value): Place | undefined {
  const data = node.inputs[0];
  const rank = data && inference.types.get(data)?.shape?.length;
  const axes = rank === undefined ? undefined : featureAxes(graph, node, rank);
  if (!data || !axes) return undefined;
  const place: Place = { kind: "inputs", node, weight, axis: axes.weightAxis };
  if (sourceInput(graph, data)) return place;
  const leaf = axesOf(weight)?.[axes.weightAxis]?.root;
  const read = graph.requiredInputs.some((input) => axesOf(input)?.some((space) => space.root === leaf));
  return read && leaf?.leaves().every((each) => whyBlocked(each) === undefined) ? place : undefined;
}

/** Every single feature is a group: a Gather can pick any of them. */
function addFeatures(survey: Survey, place: Place): void {
  const { weight, axis } = place;
  addSite(survey, place, {
    groups: weight.data!.shape[axis]!,
    places: [{ offset: 0, stride: 1, loops: [] }],
    prunable: place.reason ?? (weight.data!.shape[axis]! > 1 ? true : "it has one channel only"),
    channel: newChannel(survey, new Space(undefined)),
    coupled: [],
  });
}

/** One site per leaf that can be cut; if there is none, one that says why. */
function addChannels(survey: Survey, place: Place): void {
  const { weight, axis } = place;
  const space = survey.coupling.axesOf(weight)![axis]!;
  const leaves = (place.channels ?? space).leaves();
  const free = leaves.filter((leaf) => whyBlocked(leaf) === undefined);
  const ofHeads = leaves.filter((leaf) => survey.attention.has(leaf) && leaf.size !== 1);
  for (const leaf of ofHeads) addHeads(survey, place, leaf);
  for (const leaf of free) {
    if (survey.attention.has(leaf)) continue;
    const coupled = (survey.slices.get(leaf) ?? []).filter(
      (slice) => slice.tensor !== weight.name || slice.axis !== axis,
    );
    addSite(survey, place, {
      groups: leaf.size!,
      places: occurrences(space, leaf),
      prunable: true,
      channel: newChannel(survey, leaf),
      coupled,
    });
  }
  if (free.length > 0 || ofHeads.length > 0) return;
  addSite(survey, place, {
    groups: (place.channels ?? space).size!,
    places: [{ offset: 0, stride: 1, loops: [] }],
    prunable: leaves.map(whyBlocked).find((reason) => reason !== undefined) ?? "its axis is empty",
    channel: newChannel(survey, space.root),
    coupled: [],
  });
}

/**
 * One site per leaf of an attention layer, on the weight that makes the values where the leaf reaches it; everything else that
 * holds the heads (queries, keys, their biases, rows of the output projection) is coupled.
 */
function addHeads(survey: Survey, place: Place, leaf: Space): void {
  const { layer, kind } = survey.attention.get(leaf)!;
  const all = survey.slices.get(leaf) ?? [];
  const producers = all.filter(({ role }) => role === "producer");
  const own = producers.find(({ tensor }) => layer.valueWeights.has(tensor)) ?? producers[0];
  if (own?.tensor !== place.weight.name || own.axis !== place.axis) return;
  addSite(
    survey,
    { ...place, kind },
    {
      groups: leaf.size ?? 1,
      places: own.places,
      prunable: whyBlocked(leaf) ?? true,
      channel: newChannel(survey, leaf),
      coupled: all.filter((slice) => slice !== own),
    },
    layer.name,
  );
}

function newChannel({ channels }: Survey, leaf: Space): number {
  const known = channels.get(leaf) ?? channels.size;
  channels.set(leaf, known);
  return known;
}

type Groups = Pick<Site, "groups" | "places" | "prunable" | "channel" | "coupled">;

function addSite(
  survey: Survey,
  { kind, node, weight, axis }: Place,
  groups: Groups,
  layer: string = branchFreeName(survey.coupling.graph, node),
): void {
  const { sites, fingerprint } = survey;
  const name = uniqueName(`${layer}.${kind}`, sites, survey.nextNames);
  const tensor: Tensor = weight.data!;
  const { graph } = survey.coupling;
  const axisSize = tensor.shape[axis]!;
  sites.set(name, {
    name,
    kind,
    node: layer,
    tensor: weight.name,
    axis,
    axisSize,
    blockSize: Math.max(
      1,
      groups.places.reduce((total, place) => total + placeSize(place), 0),
    ),
    ...groups,
    fingerprint,
    norms: () => groupNorms(realTensor(graph, weight), axis, groups),
    source: () => survey,
  });
}

const placeSize = ({ loops }: Occurrence): number => loops.reduce((total, { count }) => total * count, 1);
