import { DgateError } from "@dgate/core";
import {
  isOffset,
  type LayerRow,
  layerTable,
  type MemberRow,
  optionOf,
  recurrentLayers,
} from "./layer-table.ts";
import {
  leafEntries,
  type LayerEntry,
  layerPath,
  type ModelConfig,
  nestedConfig,
  outputNames,
} from "./model-config.ts";
import {
  checkSettings,
  describeRule,
  kindsOf,
  matches,
  ruleKeys,
  settingKeys,
  type SiteRule,
  type SiteSettings,
} from "./rules.ts";
import type { SiteKind, WeightName } from "./site.ts";
import { Wiring } from "./wiring.ts";

/** One site of a gated layer, as its configuration keeps it. */
export interface SiteSpec {
  /** `${path of the layer whose units the groups are}.${kind}`. */
  readonly name: string;
  readonly kind: SiteKind;
  readonly members: readonly {
    readonly weight: WeightName;
    readonly axis: number;
    readonly blockSize: number;
  }[];
}

/** How one layer is gated. Sites of one layer share depth and λ, because they share primary weights. */
export interface GatedSpec {
  /** Gates and the smooth penalty, or no gates and the sparse penalty itself. */
  readonly method: "gates" | "direct";
  readonly depth: number;
  readonly lambda: number;
  readonly weights: "none" | "sqrt-size" | readonly number[];
  readonly sites: readonly SiteSpec[];
  /** How often the whole model calls the layer: tfjs asks for its losses once per call. */
  readonly calls: number;
}

/**
 * Decides which layers of a model are gated and how, from its configuration alone: by path of the layer that holds the
 * gates.
 *
 * - The units of the model's outputs are never gated: they cannot be removed.
 * - Units that go straight into a BatchNormalization are gated there: it would undo any scaling of the layer before it,
 *   so that the penalty on that layer's weights could not reach the loss.
 *
 * @throws DgateError `NO_MATCH` if nothing can be gated or a rule gates nothing, `UNSUPPORTED` for recurrent layers and
 * constrained weights, `OPTION` for settings out of range
 */
export function selectSites(
  config: ModelConfig,
  options: SiteSettings,
  rules: readonly SiteRule[],
  method: GatedSpec["method"],
): Map<string, GatedSpec> {
  checkSettings("gate", options, settingKeys);
  rules.forEach((rule, i) => checkSettings(`gate: rules[${i}]`, rule, ruleKeys));
  const selection = new Selection(options, rules, method);
  selection.visit(config, { prefix: "", final: true, calls: 1 });
  return selection.finish(config);
}

/** Where a layer, or a nested model, stands in the whole model. */
interface Place {
  /** Path of the model around it. */
  readonly prefix: string;
  /** Whether its outputs are outputs of the whole model. */
  readonly final: boolean;
  /** How often the whole model calls it. */
  readonly calls: number;
}

/** What options and rules say about one layer. */
type LayerSettings = SiteSettings & Pick<GatedSpec, "calls">;

class Selection {
  readonly #options: SiteSettings;
  readonly #rules: readonly SiteRule[];
  readonly #used = new Set<SiteRule>();
  readonly #specs = new Map<string, GatedSpec>();
  readonly #method: GatedSpec["method"];

  constructor(options: SiteSettings, rules: readonly SiteRule[], method: GatedSpec["method"]) {
    this.#options = options;
    this.#rules = rules;
    this.#method = method;
  }

  /** Goes through one model. */
  visit(config: ModelConfig, { prefix, final, calls }: Place): void {
    const wiring = new Wiring(config);
    const fixed = final ? wiring.producersOf(outputNames(config)) : new Set<string>();
    for (const entry of config.layers) {
      const place = {
        prefix,
        final: fixed.has(entry.config.name),
        calls: calls * Math.max(1, entry.inboundNodes?.length ?? 1),
      };
      const path = layerPath(prefix, entry.config.name);
      const inner = nestedConfig(entry);
      if (inner) this.visit(inner, { ...place, prefix: path });
      else this.#choose(entry, path, place, wiring);
    }
  }

  finish(config: ModelConfig): Map<string, GatedSpec> {
    const idle = this.#rules.find((rule) => !this.#used.has(rule));
    if (idle) {
      throw new DgateError(
        "NO_MATCH",
        `gate: the rule ${describeRule(idle)} gates nothing in model "${config.name}". Its layers are ` +
          `${listLayers(config)}; outputs of the model and layers with trainable: false stay ungated, and an ` +
          `earlier rule wins.`,
      );
    }
    if (this.#specs.size > 0) return this.#specs;
    const byDefault = [...layerTable].flatMap(([className, row]) => (row.byDefault ? [className] : []));
    throw new DgateError(
      "NO_MATCH",
      `gate: model "${config.name}" has nothing to gate: its layers are ${listLayers(config)}, gateable are ` +
        `${byDefault.join(", ")} before the outputs of the model, and BatchNormalization with a rule.`,
    );
  }

  #choose(entry: LayerEntry, path: string, { prefix, final, calls }: Place, wiring: Wiring): void {
    const row = entry.config.trainable === false ? undefined : layerTable.get(entry.className);
    const kinds = Object.keys(row?.sites ?? {}).filter(
      (kind) => !(final && kind === row?.unit),
    ) as SiteKind[];
    const rule = this.#rules.find((candidate) => matches(candidate, path, entry.className, kinds));
    if (rule?.site === "none") {
      this.#used.add(rule);
      return;
    }
    if (recurrentLayers.has(entry.className)) refuseRecurrent(entry.className, path);
    const chosen = row ? chooseKinds(row, rule, kinds) : [];
    if (!row || chosen.length === 0) return;
    if (rule) this.#used.add(rule);
    const settings = { ...this.#options, ...rule, calls };
    const normalisation = chosen.includes(row.unit) ? wiring.normalisationAfter(entry) : undefined;
    const here = normalisation ? chosen.filter((kind) => kind !== row.unit) : chosen;
    if (normalisation)
      this.#tie(normalisation, layerPath(prefix, normalisation.config.name), entry, row, path, settings);
    if (here.length > 0) this.#add(path, entry, row, path, here, settings);
  }

  /** Gates the units of `entry` at the scale and offset of the BatchNormalization behind it. */
  #tie(
    normalisation: LayerEntry,
    at: string,
    entry: LayerEntry,
    row: LayerRow,
    path: string,
    settings: LayerSettings,
  ): void {
    const scale = layerTable.get(normalisation.className)!;
    const unitSize = row.sites[row.unit]!.find(({ perGroup }) => perGroup)?.perGroup;
    const members = scale.sites.scale!.map((member) =>
      unitSize ? { ...member, perGroup: unitSize } : member,
    );
    const site: SiteSpec = {
      name: `${path}.${row.unit}`,
      kind: row.unit,
      members: resolve(members, settings.bias ?? scale.offset, normalisation, at, entry),
    };
    this.#put(at, [site], settings);
  }

  #add(
    at: string,
    entry: LayerEntry,
    row: LayerRow,
    path: string,
    kinds: readonly SiteKind[],
    settings: LayerSettings,
  ): void {
    const sites = kinds.map((kind): SiteSpec => {
      const offset = settings.bias ?? (kind === "layer" || row.offset);
      return {
        name: `${path}.${kind}`,
        kind,
        members: resolve(row.sites[kind]!, offset, entry, path, entry),
      };
    });
    this.#put(at, sites, settings);
  }

  #put(at: string, sites: readonly SiteSpec[], settings: LayerSettings): void {
    const { depth = 3, lambda = 1e-4, weights = "none", calls } = settings;
    if (this.#specs.has(at)) {
      throw new DgateError(
        "OPTION",
        `gate: layer "${at}" would be gated twice, as ${this.#specs.get(at)!.sites[0]!.name} and ` +
          `${sites[0]!.name}: drop the rule for one of them.`,
      );
    }
    if (sites.length > 1 && weights !== "none") {
      throw new DgateError(
        "OPTION",
        `gate: layer "${at}" has ${sites.length} sites, which share their penalty: weights must be "none" there.`,
      );
    }
    this.#specs.set(at, { method: this.#method, depth, lambda, weights, sites, calls });
  }
}

/** The site kinds that a rule (or its absence) asks for, out of those that the layer offers. */
function chooseKinds(
  row: LayerRow,
  rule: SiteRule | undefined,
  offered: readonly SiteKind[],
): readonly SiteKind[] {
  if (rule?.site !== undefined && rule.site !== "none") {
    const asked = kindsOf(rule.site);
    return offered.filter((kind) => asked.includes(kind));
  }
  const wanted = row.byDefault || rule?.type !== undefined;
  return wanted ? offered.filter((kind) => kind === row.unit) : [];
}

/** Members of a site once the layer's configuration is known; `holder` owns the weights, `units` the block size. */
function resolve(
  rows: readonly MemberRow[],
  offset: boolean,
  holder: LayerEntry,
  path: string,
  units: LayerEntry,
): SiteSpec["members"] {
  const { config } = holder;
  const present = rows.filter(({ weight }) => {
    if (!isOffset(weight)) return true;
    return offset && config["useBias"] !== false && config["center"] !== false;
  });
  for (const { weight } of present) {
    const constraint = config[optionOf(weight, "Constraint")];
    if (constraint === null || constraint === undefined) continue;
    throw new DgateError(
      "UNSUPPORTED",
      `gate: ${optionOf(weight, "Constraint")} of layer "${path}" (${holder.className}) cannot hold for gated weights. ` +
        `Remove it, or leave the layer out with the rule { layer: "${path}", site: "none" }.`,
    );
  }
  return present.map(({ weight, axis, perGroup }) => {
    const size = perGroup && units.config[perGroup];
    return { weight, axis, blockSize: typeof size === "number" ? size : 1 };
  });
}

function refuseRecurrent(className: string, path: string): never {
  throw new DgateError(
    "UNSUPPORTED",
    `gate: layer "${path}" is a ${className}: recurrent layers cannot be gated, their units feed back into themselves. ` +
      `Leave it out with the rule { layer: "${path}", site: "none" }.`,
  );
}

function listLayers(config: ModelConfig): string {
  const all = leafEntries(config).map(({ path, entry }) => `${path} (${entry.className})`);
  const shown = all.slice(0, 12);
  const more = all.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
}
