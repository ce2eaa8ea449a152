import { DgateError } from "@dgate/core";
import type { Graph, Node } from "@dgate/onnx";
import { type LayerEntry, layerPath, type ModelConfig, nestedConfig } from "../gating/model-config.ts";
import { constantOperand, normalizationEntry, normalizationWeights } from "./constant-branch.ts";
import type { SmallWeight } from "./read-back.ts";

type Inbound = NonNullable<LayerEntry["inboundNodes"]>[number][number];

/**
 * What became of a layer in the pruned graph: it is there, it is gone with all it computed, one input alone is left of
 * what it merged and stands for it, or that input is left together with the constant that the other branch emitted.
 */
type Fate =
  | { readonly kind: "there" | "gone" }
  | { readonly kind: "alias"; readonly of: Inbound }
  | { readonly kind: "constant"; readonly of: Inbound; readonly node: Node };

/** A config without the layers that are gone, and weights of the layers that took their place, by path. */
export interface Dropped {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, ReadonlyMap<string, SmallWeight>>;
}

/**
 * Removes from a config the layers whose nodes the pruned graph no longer has: dead branches, and the merge layers that
 * are left with one input. Where a branch left a constant behind, a BatchNormalization adds (or multiplies by) it, the
 * only plain layer that holds one number per channel.
 *
 * @throws DgateError `UNSUPPORTED` where a shared layer loses one of its calls, or a merge layer that is neither Add nor
 * Multiply of two loses an input
 */
export function dropLayers(config: ModelConfig, before: Graph, after: Graph, prefix = ""): Dropped {
  const weights = new Map<string, ReadonlyMap<string, SmallWeight>>();
  const layers = config.layers.map((entry) => {
    const inner = nestedConfig(entry);
    if (!inner) return entry;
    const dropped = dropLayers(inner, before, after, layerPath(prefix, entry.config.name));
    for (const [path, named] of dropped.weights) weights.set(path, named);
    return { ...entry, config: dropped.config as unknown as LayerEntry["config"] };
  });
  const own = { ...config, layers };
  // A Sequential has no branches: nothing of it can go.
  if (!own.outputLayers) return { config: own, weights };
  const branches = new Branches(own, before, after, prefix);
  const dropped = branches.drop();
  return { config: dropped, weights: new Map([...weights, ...branches.weights]) };
}

class Branches {
  readonly weights = new Map<string, ReadonlyMap<string, SmallWeight>>();
  readonly #config: ModelConfig;
  readonly #entries: ReadonlyMap<string, LayerEntry>;
  readonly #before: ReadonlyMap<string, readonly Node[]>;
  readonly #after: ReadonlyMap<string, readonly Node[]>;
  readonly #prefix: string;
  readonly #fates = new Map<string, Fate>();

  constructor(config: ModelConfig, before: Graph, after: Graph, prefix: string) {
    this.#config = config;
    this.#entries = new Map(config.layers.map((entry) => [entry.config.name, entry]));
    this.#before = nodesByOwner(before);
    this.#after = nodesByOwner(after);
    this.#prefix = prefix;
  }

  drop(): ModelConfig {
    const { layers, outputLayers = [] } = this.#config;
    if (layers.every((entry) => this.#fate(entry.config.name).kind === "there")) return this.#config;
    return {
      ...this.#config,
      layers: layers.flatMap((entry) => this.#keep(entry)),
      outputLayers: outputLayers.map((reference) => this.#follow(reference)),
    };
  }

  #keep(entry: LayerEntry): LayerEntry[] {
    const fate = this.#fate(entry.config.name);
    if (fate.kind === "there") {
      return [{ ...entry, inboundNodes: (entry.inboundNodes ?? []).map((call) => this.#rewire(call)) }];
    }
    if (fate.kind !== "constant") return [];
    const path = layerPath(this.#prefix, entry.config.name);
    this.weights.set(path, normalizationWeights(fate.node, path));
    return [normalizationEntry(entry.config.name, this.#follow(fate.of))];
  }

  #rewire(call: readonly Inbound[]): readonly Inbound[] {
    return call
      .filter((reference) => this.#fate(reference[0]).kind !== "gone")
      .map((reference) => this.#follow(reference));
  }

  /** The reference that stands for this one. */
  #follow(reference: Inbound): Inbound {
    const fate = this.#fate(reference[0]);
    return fate.kind === "alias" ? this.#follow(fate.of) : reference;
  }

  #fate(name: string): Fate {
    const known = this.#fates.get(name);
    if (known) return known;
    const entry = this.#entries.get(name);
    if (!entry) throw new Error(`unreachable: layer ${name} is not in its config`);
    // A shared layer may be called on what it made itself: until more is known, it is there.
    this.#fates.set(name, { kind: "there" });
    const fate = this.#decide(entry);
    this.#fates.set(name, fate);
    return fate;
  }

  #decide(entry: LayerEntry): Fate {
    const path = layerPath(this.#prefix, entry.config.name);
    const calls = entry.inboundNodes ?? [];
    const alive = calls.map((call) => call.filter(([name]) => this.#fate(name).kind !== "gone"));
    const starved = calls.length > 0 && alive.some((call) => call.length === 0);
    const lost = calls.some((call, i) => alive[i]!.length < call.length);
    // What has no nodes of its own (an input, a dropout) is there as long as its input is.
    const computes = this.#after.has(path) || !this.#before.has(path);
    if (computes && !lost) return { kind: "there" };
    if (calls.length > 1) {
      throw new DgateError(
        "UNSUPPORTED",
        `shrink: shared layer "${path}" loses one of its ${calls.length} calls; gate its other call too, or none.`,
      );
    }
    if (starved || !lost) return { kind: "gone" };
    return this.#merged(entry, path, alive[0]!);
  }

  /** The fate of a merge layer that lost some of its inputs. */
  #merged(entry: LayerEntry, path: string, alive: readonly Inbound[]): Fate {
    const [only] = alive;
    const nodes = this.#after.get(path) ?? [];
    if (only && alive.length === 1 && nodes.length === 0) return { kind: "alias", of: only };
    if (entry.className === "Concatenate") {
      return only && alive.length === 1 ? { kind: "alias", of: only } : { kind: "there" };
    }
    const [node] = nodes;
    if (only && alive.length === 1 && nodes.length === 1 && node && constantOperand(node)) {
      return { kind: "constant", of: only, node };
    }
    throw new DgateError(
      "UNSUPPORTED",
      `shrink: ${entry.className} "${path}" loses an input, which only Add and Multiply of two can; ` +
        `leave the layers before it ungated as wholes (site "layer").`,
    );
  }
}

/** The nodes of each layer, and of the models around it, by path. */
function nodesByOwner(graph: Graph): Map<string, Node[]> {
  const owned = new Map<string, Node[]>();
  for (const node of graph.nodes()) {
    const parts = node.name.split("/");
    parts.forEach((_, i) => {
      const path = parts.slice(0, i + 1).join("/");
      owned.set(path, [...(owned.get(path) ?? []), node]);
    });
  }
  return owned;
}
