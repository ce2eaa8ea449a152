import {
  arrayOps,
  DgateError,
  type DeadGroupOptions,
  type Factors,
  type NdArray,
  ndArray,
  type SiteReport,
  siteReport,
  squaredGroupNorms,
} from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { directReport } from "./direct-report.ts";
import { Gated, gatedLayers } from "./gated-layer.ts";
import type { LayerSite } from "./gated-weights.ts";
import { leafLayers } from "./model-config.ts";
import { checkLambda } from "./rules.ts";
import type { GatedSite, WeightName } from "./site.ts";

interface SitePlace {
  readonly layer: Gated;
  readonly path: string;
  readonly site: LayerSite;
}

/** The sites of a gated model, in the order of its layers; none if it is not gated. */
export function gatedSites(model: tf.LayersModel): GatedSite[] {
  return places(model).map(({ layer, path, site: { spec, set } }) => ({
    name: spec.name,
    kind: spec.kind,
    layer: spec.name.slice(0, -(spec.kind.length + 1)),
    groups: set.groups,
    method: layer.spec.method,
    depth: layer.spec.depth,
    lambda: layer.lambda,
    members: spec.members.map((member) => ({ layer: path, ...member })),
  }));
}

/**
 * The smooth penalty of a gated model, λ included, for custom training loops: differentiable in `model.trainableWeights`.
 * `fit` and `trainOnBatch` add it by themselves.
 */
export function penalty(model: tf.LayersModel): tf.Scalar {
  return tf.tidy(() => {
    const terms = requireGates("penalty", model).map((layer) => layer.penalty());
    return terms.reduce((a, b) => tf.add(a, b));
  });
}

/**
 * Sets λ, from the next step on: of all sites, or of the named ones. Sites on the same layer share their λ.
 *
 * @throws DgateError `OPTION` for λ < 0 or NaN, `NO_MATCH` for a name that is no site
 */
export function setLambda(model: tf.LayersModel, lambda: number, siteNames?: readonly string[]): void {
  checkLambda("setLambda", lambda);
  requireGates("setLambda", model);
  const all = places(model);
  const unknown = siteNames?.find((name) => !all.some(({ site }) => site.spec.name === name));
  if (unknown !== undefined) {
    const known = all.map(({ site }) => site.spec.name).join(", ");
    throw new DgateError("NO_MATCH", `setLambda: no site "${unknown}"; the sites are ${known}.`);
  }
  for (const { layer, site } of all) {
    if (!siteNames || siteNames.includes(site.spec.name)) layer.lambda = lambda;
  }
}

/** ‖w_j‖ of the collapsed weights of every group, by site name. */
export async function groupNorms(model: tf.LayersModel): Promise<Map<string, Float64Array>> {
  const norms = new Map<string, Float64Array>();
  for (const layer of requireGates("groupNorms", model)) {
    const weights = new Map<string, NdArray>();
    for (const [name, tensor] of collapsedTensors(layer)) {
      weights.set(name, await read(tensor));
      tensor.dispose();
    }
    for (const { spec, set } of layer.gated.sites) {
      const members = set.members.map(({ name }) => weights.get(name)!);
      norms.set(
        spec.name,
        Float64Array.from(squaredGroupNorms(arrayOps("float64"), set, members).data, Math.sqrt),
      );
    }
  }
  return norms;
}

/**
 * Active groups, penalties, gap and imbalance of each site, in float64. Where two sites share a weight, each is seen with
 * the whole ω as its primary weight, so that the smooth penalties do not add up to that of the model.
 */
export async function siteReports(
  model: tf.LayersModel,
  threshold: Omit<DeadGroupOptions, "keepAtLeast"> = {},
): Promise<SiteReport[]> {
  requireGates("siteReports", model);
  const reports: SiteReport[] = [];
  for (const { layer, site } of places(model)) {
    const factors = await readFactors(layer, site);
    const measure = factors.gates.length > 0 ? siteReport : directReport;
    reports.push(
      measure(site.spec.name, site.set, factors, {
        lambda: layer.lambda,
        threshold,
        depth: layer.spec.depth,
      }),
    );
  }
  return reports;
}

/** The factors of one site, on the host; without gates, the weights alone. */
async function readFactors(layer: Gated, site: LayerSite): Promise<Factors<NdArray>> {
  const { primary, gates } = layer.gated.factors(site);
  const host = { primary: await Promise.all(primary.map(read)), gates: await Promise.all(gates.map(read)) };
  // The primary weights are the layer's variables; the gates were unstacked for this.
  tf.dispose([...gates]);
  return host;
}

/** Copies of the collapsed weights of a layer's sites, for the caller to dispose. */
function collapsedTensors(layer: Gated): [WeightName, tf.Tensor][] {
  const entries: [WeightName, tf.Tensor][] = [];
  tf.tidy(() => {
    const collapsed = layer.gated.collapsed();
    for (const [name, variable] of layer.primaries()) {
      entries.push([name, tf.keep(tf.clone(collapsed.get(name) ?? variable.read()))]);
    }
  });
  return entries;
}

async function read(tensor: tf.Tensor): Promise<NdArray> {
  return ndArray(Float64Array.from(await tensor.data()), tensor.shape);
}

function places(model: tf.LayersModel): SitePlace[] {
  return leafLayers(model).flatMap(({ layer, path }) =>
    layer instanceof Gated ? layer.gated.sites.map((site) => ({ layer, path, site })) : [],
  );
}

function requireGates(where: string, model: tf.LayersModel): Gated[] {
  const layers = gatedLayers(model);
  if (layers.length > 0) return layers;
  throw new DgateError(
    "NO_MATCH",
    `${where}: model "${model.name}" has no gates: pass what gate() returned.`,
  );
}
