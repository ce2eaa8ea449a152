import { DgateError, type PrunePlan } from "@dgate/core";
import { fingerprint, type Graph, prune, type PruneReport } from "@dgate/onnx";
import type * as tf from "@tensorflow/tfjs";
import { modelInfo } from "../export/model-info.ts";
import { type ExportedGraph, type InputSelection, modelToGraph } from "../export/to-graph.ts";
import { collapse } from "../gating/gate.ts";
import { configOf, leafLayers, modelFrom } from "../gating/model-config.ts";
import type { SiteKind } from "../gating/site.ts";
import { compareModels } from "./compare.ts";
import { decideSites, type ShrinkThreshold, type SiteDecision } from "./decide.ts";
import { dropLayers } from "./drop-layers.ts";
import { maskWeights } from "./mask-weights.ts";
import { planSites } from "./plan-sites.ts";
import { readBack } from "./read-back.ts";
import { checkSharedBiases } from "./shared-biases.ts";
import { setSmallWeights } from "./set-weights.ts";
import { smallConfig } from "./small-config.ts";

export interface ShrinkOptions {
  /** When a group is dead: ‖w_j‖ ≤ max(absolute, relative · max_j ‖w_j‖). */
  readonly threshold?: ShrinkThreshold;
  /** Largest difference of masked and small model, relative to the largest output (at least one). Default 1e-4. */
  readonly tolerance?: number;
  /** Seed of the random inputs on which the two are compared. */
  readonly seed?: number;
}

/** What the threshold did to one site. */
export interface SiteShrinkage {
  readonly site: string;
  readonly kind: SiteKind;
  readonly groups: number;
  /** Groups over the threshold, or kept as the strongest of a dead site. */
  readonly active: number;
  /** Groups within a factor of `nearFactor` (default 2) of the threshold. */
  readonly near: number;
  readonly threshold: number;
}

/** Parameters and bytes are those of the LayersModels, MACs are for one sample. */
export interface ShrinkReport extends Omit<PruneReport, "inputs"> {
  readonly sites: readonly SiteShrinkage[];
  /** The features that the small model still takes; give it to `toOnnx` as `select` for a model that takes full rows. */
  readonly inputs: readonly InputSelection[];
  /** Sentences for people: sites whose groups were all dead, groups that could not go. */
  readonly warnings: readonly string[];
  /** Between the masked and the small model, on random inputs. */
  readonly maxAbsDiff: number;
}

export interface Shrunk {
  /** The smaller model, of plain layers. */
  readonly model: tf.LayersModel;
  /** The collapsed model with its dead groups at zero: computes what `model` computes, in the old shapes. */
  readonly masked: tf.LayersModel;
  /** The dead groups in terms of `toOnnx(masked)`: `prune` of @dgate/onnx takes it. */
  readonly plan: PrunePlan;
  readonly report: ShrinkReport;
}

/**
 * Removes the dead groups of a gated model, with everything coupled to them: a physically smaller LayersModel of plain
 * layers. What a removed neuron still emitted is folded into the next bias, so that the small model computes what the
 * masked one computes; that is checked on random inputs. `model` is left as it is.
 *
 * What is coupled to what is asked of the exported ONNX graph (`@dgate/onnx`).
 *
 * @throws DgateError `NO_MATCH` for a model without gates, `UNSUPPORTED` for a layer that cannot be exported, `CHECK`
 * if the small model differs from the masked one.
 */
export async function shrink(model: tf.LayersModel, options: ShrinkOptions = {}): Promise<Shrunk> {
  const decisions = await decideSites(model, options.threshold ?? {});
  const masked = collapse(model);
  const made = [masked];
  try {
    await maskWeights(masked, decisions);
    const pruning = await pruneMasked(masked, decisions);
    const small = smallModel(masked, pruning);
    made.push(small);
    const { graph, plan, report } = pruning;
    const inputs = report.inputs.map(({ name, axis, size, kept }) => ({ name, axis, size, kept }));
    const maxAbsDiff = await prove(masked, small, graph, inputs, options);
    const keptBack = perReason(report.keptBack);
    // `graph` has biases that `toOnnx(masked)` has not: the plan is to fit what users can get.
    const { graph: publicGraph } = await modelToGraph(masked, {}, { makeBiases: false });
    return {
      model: small,
      masked,
      plan: { ...plan, fingerprint: fingerprint(publicGraph) },
      report: {
        ...report,
        before: sizeOf(masked, report.before),
        after: sizeOf(small, report.after),
        sites: decisions.map(shrinkage),
        removed: perSite(report.removed),
        keptBack,
        inputs,
        warnings: warningsOf(decisions, keptBack),
        maxAbsDiff,
      },
    };
  } catch (error) {
    for (const each of made) each.dispose();
    throw error;
  }
}

/** A masked model's graph, with a bias wherever one could be, and what is left of it without the dead groups. */
interface Pruning extends ExportedGraph {
  readonly plan: PrunePlan;
  readonly pruned: Graph;
  readonly report: PruneReport;
}

async function pruneMasked(masked: tf.LayersModel, decisions: readonly SiteDecision[]): Promise<Pruning> {
  const exported = await modelToGraph(masked, {}, { makeBiases: true });
  exported.graph.info = modelInfo(masked.name);
  const classes = new Map(leafLayers(masked).map(({ layer, path }) => [path, layer.getClassName()]));
  const plan = planSites(exported.graph, exported.bindings, decisions, (layer) => classes.get(layer) ?? "");
  const { graph: pruned, report } = prune(exported.graph, plan, { inputs: "resize" });
  checkSharedBiases(pruned);
  return { ...exported, plan, pruned, report };
}

/** The LayersModel that a pruned graph is the export of. */
function smallModel(masked: tf.LayersModel, { graph, pruned, bindings, inputs }: Pruning): tf.LayersModel {
  const kept = dropLayers(configOf(masked), graph, pruned);
  const weights = new Map([...readBack(pruned, bindings), ...kept.weights]);
  const small = modelFrom(smallConfig(kept.config, pruned, weights, inputs), masked);
  setSmallWeights(small, weights);
  return small;
}

/** Compares the two models on random inputs; returns the difference, or throws `CHECK`. */
async function prove(
  masked: tf.LayersModel,
  small: tf.LayersModel,
  graph: Graph,
  select: readonly InputSelection[],
  { tolerance = 1e-4, seed = 0 }: ShrinkOptions,
): Promise<number> {
  const { maxAbsDiff, relative } = await compareModels(masked, small, graph, { seed, select });
  if (relative <= tolerance) return maxAbsDiff;
  throw new DgateError(
    "CHECK",
    `shrink: the small model differs from the masked one by ${maxAbsDiff} on random inputs ` +
      `(tolerance ${tolerance} of the output's scale). Raise the tolerance if that is rounding, else please report the model.`,
  );
}

/** The size of a model in its own parameters: the graphs also hold biases that were made for folding. */
function sizeOf(model: tf.LayersModel, { macs }: PruneReport["before"]): PruneReport["before"] {
  const parameters = model.countParams();
  return { parameters, macs, bytes: 4 * parameters };
}

function shrinkage({ site, groups }: SiteDecision): SiteShrinkage {
  return {
    site: site.name,
    kind: site.kind,
    groups: site.groups,
    active: groups.kept.length,
    near: groups.near,
    threshold: groups.threshold,
  };
}

/** The plan has an axis for each member of a site; people want one line for each site. */
function perSite(removed: PruneReport["removed"]): PruneReport["removed"] {
  return [...new Map(removed.map((line) => [line.site, line])).values()];
}

function perReason(keptBack: PruneReport["keptBack"]): PruneReport["keptBack"] {
  const lines = keptBack.map(({ site, groups, reason }) => ({
    site,
    groups: groups.toSorted((a, b) => a - b),
    reason,
  }));
  return [...new Map(lines.map((line) => [JSON.stringify(line), line])).values()];
}

function warningsOf(decisions: readonly SiteDecision[], kept: PruneReport["keptBack"]): string[] {
  const rescued = decisions.flatMap(({ site, groups }) =>
    groups.rescued > 0
      ? [
          `site "${site.name}": all ${site.groups} groups are under the threshold ${groups.threshold.toExponential(1)}; ` +
            `the strongest was kept. Was λ too large?`,
        ]
      : [],
  );
  const keptBack = kept.map(
    ({ site, groups: { length }, reason }) =>
      `site "${site}": ${length} dead ${length === 1 ? "group stays" : "groups stay"}, because ${reason}.`,
  );
  return [...rescued, ...keptBack];
}
