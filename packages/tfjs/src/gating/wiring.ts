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
   * their own (activations, pooling, reshaping, …), to the first layers that have some.
   */
  producersOf(names: readonly string[]): Set<string> {
    const found = new Set<string>();
    const queue = [...names];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (found.has(name)) continue;
      found.add(name);
      const entry = this.#entries.get(name);
      const hasUnits = entry && (nestedConfig(entry) || isSource(entry.className));
      if (!hasUnits) queue.push(...(this.#inbound.get(name)?.flat() ?? []));
    }
    return found;
  }

  /** The BatchNormalization that every output unit of `entry` goes into, past activations only; none if there is a branch. */
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
      if (!unitwiseLayers.has(next.className)) return undefined;
    }
  }
}

function isSource(className: string): boolean {
  return className !== "BatchNormalization" && layerTable.has(className);
}

/** Whether a BatchNormalization scales the last axis of the units before it with trained factors of its own. */
function isTieable({ config }: LayerEntry, before: LayerEntry): boolean {
  const axis = config["axis"] ?? -1;
  const last =
    axis === -1 || (before.className.includes("Conv") && axis === (before.className === "Conv1D" ? 2 : 3));
  return last && config["scale"] !== false && config.trainable !== false;
}
