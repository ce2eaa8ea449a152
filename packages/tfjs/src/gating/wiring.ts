import { layerTable, unitwiseLayers } from "./layer-table.ts";
import {
  inboundLayers,
  type LayerEntry,
  type ModelConfig,
  nestedConfig,
  outputNames,
} from "./model-config.ts";

/** Who feeds whom in one (not nested) model. */
export class Wiring {
  readonly #entries: ReadonlyMap<string, LayerEntry>;
  readonly #inbound: ReadonlyMap<string, readonly (readonly string[])[]>;
  readonly #consumers = new Map<string, string[]>();
  readonly #outputs: ReadonlySet<string>;

  constructor(config: ModelConfig) {
    this.#entries = new Map(config.layers.map((entry) => [entry.config.name, entry]));
    this.#inbound = inboundLayers(config);
    this.#outputs = new Set(outputNames(config));
    for (const [name, calls] of this.#inbound) {
      for (const producer of calls.flat()) {
        this.#consumers.set(producer, [...(this.#consumers.get(producer) ?? []), name]);
      }
    }
  }

  /**
   * The layers whose units are the units of the named layers' outputs: going back through layers without units of
   * their own (activations, pooling, depthwise convolutions, …), to the first layers that have some; those between
   * included.
   */
  producersOf(names: readonly string[]): Set<string> {
    const found = new Set<string>();
    const queue = [...names];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (found.has(name)) continue;
      found.add(name);
      const entry = this.#entries.get(name);
      if (!entry || !makesUnits(entry)) queue.push(...(this.#inbound.get(name)?.flat() ?? []));
    }
    return found;
  }

  /** The BatchNormalization that every output unit of `entry` goes into, past unitwise layers; none if there is a branch. */
  normalisationAfter(entry: LayerEntry): LayerEntry | undefined {
    if (entry.className === "BatchNormalization" || entry.config["dataFormat"] === "channelsFirst")
      return undefined;
    let current = entry.config.name;
    for (;;) {
      const consumers = this.#consumers.get(current) ?? [];
      const calls = this.#inbound.get(current)?.length ?? 0;
      if (consumers.length !== 1 || calls !== 1 || this.#outputs.has(current)) return undefined;
      current = consumers[0]!;
      const next = this.#entries.get(current)!;
      if (this.#inbound.get(current)!.length !== 1) return undefined;
      if (next.className === "BatchNormalization") return isTieable(next, entry) ? next : undefined;
      if (!unitwiseLayers.has(next.className) || next.config["dataFormat"] === "channelsFirst")
        return undefined;
    }
  }
}

/** Layer classes that are gateable, but whose outputs are the units of their inputs. */
const passing: ReadonlySet<string> = new Set(["BatchNormalization", "DepthwiseConv2D"]);

/** Whether a layer's (nested model's) outputs are units of its own rather than those of its inputs. */
function makesUnits(entry: LayerEntry): boolean {
  const inner = nestedConfig(entry);
  if (!inner) return layerTable.has(entry.className) && !passing.has(entry.className);
  const producers = new Wiring(inner).producersOf(outputNames(inner));
  const starts = inner.layers.filter((layer, i) =>
    inner.outputLayers ? (layer.inboundNodes ?? []).length === 0 : i === 0,
  );
  return starts.every((start) => makesUnits(start) || !producers.has(start.config.name));
}

/** Whether a BatchNormalization scales the last axis of the units before it with trained factors of its own. */
function isTieable({ config }: LayerEntry, before: LayerEntry): boolean {
  const axis = config["axis"] ?? -1;
  const last =
    axis === -1 || (before.className.includes("Conv") && axis === (before.className === "Conv1D" ? 2 : 3));
  return last && config["scale"] !== false && config.trainable !== false;
}
