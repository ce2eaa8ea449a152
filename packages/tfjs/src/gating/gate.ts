import { DgateError, type InitialScheme } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { Gated, gatedLayers } from "./gated-layer.ts";
import { configOf, editLayers, type LayerEntry, leafLayers, modelFrom } from "./model-config.ts";
import type { GateOptions, SiteRule, SiteSettings } from "./rules.ts";
import { type GatedSpec, selectSites } from "./select-sites.ts";

const initialisations: readonly InitialScheme[] = ["balanced", "ones", "variance-matched"];

/**
 * A gated copy of a model: `w_j = ω_j · Π_d γ_{j,d}` for the groups of every site (neurons, filters, …), with the
 * smooth penalty `(λ/D)·Σ_j(‖ω_j‖² + Σ_d γ²_{j,d})` as part of the loss (Kolb et al. 2025). It is an ordinary LayersModel:
 * `compile` and `fit` it (with any optimiser but one with decoupled weight decay), save it and load it.
 *
 * Before training it computes what `model` computes. `model` is left as it is.
 *
 * @throws DgateError `OPTION`, `NO_MATCH`, `UNSUPPORTED` as `selectSites` says
 */
export function gate(model: tf.LayersModel, options: GateOptions = {}): tf.LayersModel {
  const { rules = [], initialisation = "balanced", seed = 0, ...settings } = options;
  if (!initialisations.includes(initialisation)) {
    throw new DgateError(
      "OPTION",
      `gate: initialisation is "${initialisation}", expected ${initialisations.join(", ")}.`,
    );
  }
  const gated = withSites("gate", model, settings, rules, "gates");
  for (const layer of gatedLayers(gated)) layer.gated.initialise(initialisation, seed);
  return gated;
}

/**
 * The baseline that gating is compared with: a copy of the model whose loss has the sparse penalty itself,
 * `λ Σ_j s_j ‖w_j‖^{2/D}` over the same groups as `gate` (depth 2, the default here: group lasso), followed by its
 * sub-gradient. Every function on gated models takes it too.
 */
export function directPenalty(
  model: tf.LayersModel,
  options: Omit<GateOptions, "initialisation" | "seed"> = {},
): tf.LayersModel {
  const { rules = [], depth = 2, ...settings } = options;
  return withSites("directPenalty", model, { depth, ...settings }, rules, "direct");
}

function withSites(
  where: string,
  model: tf.LayersModel,
  settings: SiteSettings,
  rules: readonly SiteRule[],
  method: GatedSpec["method"],
): tf.LayersModel {
  if (gatedLayers(model).length > 0) {
    throw new DgateError("OPTION", `${where}: model "${model.name}" is gated already; collapse it first.`);
  }
  const config = configOf(model);
  const specs = selectSites(config, settings, rules, method);
  const gated = modelFrom(
    editLayers(config, (entry, path) => wrap(entry, specs.get(path))),
    model,
  );
  copyWeights(model, gated);
  return gated;
}

/**
 * The same architecture with plain layers and the weights `w = ω · Πγ`: computes what the gated model computes.
 * A model without gates comes back as a copy.
 */
export function collapse(model: tf.LayersModel): tf.LayersModel {
  const plain = modelFrom(editLayers(configOf(model), unwrap), model);
  const targets = new Map(leafLayers(plain).map(({ layer, path }) => [path, layer]));
  tf.tidy(() => {
    for (const { layer, path } of leafLayers(model)) {
      const target = targets.get(path)!;
      if (!(layer instanceof Gated)) {
        target.setWeights(layer.getWeights());
        continue;
      }
      const names = [...layer.primaries().keys()];
      const collapsed = layer.gated.collapsed();
      const values = layer.inner.weights.map((variable) => {
        const name = names.find((candidate) => layer.primaries().get(candidate) === variable);
        return (name && collapsed.get(name)) ?? variable.read();
      });
      target.setWeights(values);
    }
  });
  return plain;
}

/** Puts a layer's configuration into that of a `Gated` layer of the same name. */
function wrap(entry: LayerEntry, spec: GatedSpec | undefined): LayerEntry {
  if (!spec) return entry;
  const { config, className } = entry;
  const { name, trainable, batchInputShape, dtype } = config;
  const shared = JSON.parse(JSON.stringify({ name, trainable, batchInputShape, dtype })) as { name: string };
  return {
    ...entry,
    className: Gated.className,
    config: { ...shared, layer: { className, config }, ...spec },
  };
}

function unwrap(entry: LayerEntry): LayerEntry {
  if (entry.className !== Gated.className) return entry;
  const { layer } = entry.config as unknown as { layer: { className: string; config: LayerEntry["config"] } };
  return { ...entry, ...layer };
}

/** Gives the layers of `target` the weights of the equally named layers of `source`; gates keep theirs. */
function copyWeights(source: tf.LayersModel, target: tf.LayersModel): void {
  const sources = new Map(leafLayers(source).map(({ layer, path }) => [path, layer]));
  for (const { layer, path } of leafLayers(target)) {
    const from = sources.get(path)!;
    (layer instanceof Gated ? layer.inner : layer).setWeights(from.getWeights());
  }
}
