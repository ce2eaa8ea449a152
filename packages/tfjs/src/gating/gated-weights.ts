import {
  balancedFactors,
  DgateError,
  defineGroups,
  type Factors,
  frozenPenalty,
  type GroupLayout,
  type GroupMember,
  type GroupSet,
  gateProduct,
  type InitialScheme,
  initialFactors,
  randomGenerator,
  squaredGroupNorms,
} from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { applyGates } from "./apply-gates.ts";
import { directPenaltyOf, smoothPenaltyOf } from "./penalty-operations.ts";
import type { GatedSpec, SiteSpec } from "./select-sites.ts";
import type { SiteKind, WeightName } from "./site.ts";
import { stackedProduct, unstackGates } from "./stacked-gates.ts";
import { tensorOps } from "./tensor-ops.ts";

/** The primary weights ω of a gated layer, by name. */
export type Primaries = ReadonlyMap<WeightName, tf.LayerVariable>;

/** One site of a gated layer with its variables. */
export interface LayerSite {
  readonly spec: SiteSpec;
  /** Members are named by their weights. */
  readonly set: GroupSet;
  /** The D − 1 gates as one variable `[D − 1, groups]`: fewer updates for the optimiser. None under a direct penalty. */
  readonly gates: tf.LayerVariable | undefined;
}

/** A part of the penalty: the primary weights that `set` names, and the gates of one site. */
interface PenaltyTerm {
  readonly site: LayerSite;
  /** Members whose ω no earlier term penalises; none if a site shares all of them. */
  readonly set: GroupSet | undefined;
}

/**
 * The factors of one layer's weights. With several sites on one weight, `w = ω · Π (gates of every site)`; ω is
 * penalised once, so that each site is balanced, and obeys the laws of gating, as if the other gates belonged to the
 * network.
 */
export class GatedWeights {
  readonly sites: readonly LayerSite[];
  readonly #depth: number;
  readonly #primaries: Primaries;
  readonly #terms: readonly PenaltyTerm[];

  /** @param addGates makes a variable of ones for a site's gates */
  constructor(
    { depth, weights, method, sites }: GatedSpec,
    layer: string,
    primaries: Primaries,
    addGates: (kind: SiteKind, shape: [number, number]) => tf.LayerVariable,
  ) {
    this.#depth = depth;
    this.#primaries = primaries;
    this.sites = sites.map((spec) => {
      const set = defineGroups(memberGroups(spec, layer, primaries), { weights });
      return {
        spec,
        set,
        gates: method === "gates" ? addGates(spec.kind, [depth - 1, set.groups]) : undefined,
      };
    });
    const seen = new Set<string>();
    this.#terms = this.sites.map((site) => {
      const fresh = site.set.members.filter(({ name }) => !seen.has(name));
      for (const { name } of fresh) seen.add(name);
      const all = fresh.length === site.set.members.length;
      return {
        site,
        set: all ? site.set : fresh.length > 0 ? defineGroups(fresh, { weights: "none" }) : undefined,
      };
    });
  }

  /** Πγ of the site of this kind, `[groups]`; `undefined` if there is none or it has no gates. */
  product(kind: SiteKind): tf.Tensor | undefined {
    const gates = this.sites.find(({ spec }) => spec.kind === kind)?.gates;
    return gates && stackedProduct(gates.read());
  }

  /**
   * `w = ω · Πγ` of every gated weight, in tensors of the caller's `tf.tidy`.
   *
   * @param late the `product` of a site whose gates the kernel is to be left without
   */
  collapsed(late?: { readonly kind: SiteKind; readonly product: tf.Tensor }): Map<WeightName, tf.Tensor> {
    const weights = new Map<WeightName, tf.Tensor>();
    for (const { spec, set } of this.sites) {
      const isLate = spec.kind === late?.kind;
      const product = isLate ? late.product : this.product(spec.kind);
      if (!product) continue;
      for (const { weight, layout } of membersOf(spec, set)) {
        if (isLate && weight !== "bias") continue;
        weights.set(weight, applyGates(weights.get(weight) ?? this.#read(weight), layout, product));
      }
    }
    return weights;
  }

  /** Smooth penalty of all sites. */
  penalty(lambda: number): tf.Scalar {
    return tf.tidy(() => {
      const terms = this.#terms.map((term) => this.#termOf(term, lambda));
      return terms.reduce((a, b) => tf.add(a, b)).asScalar();
    });
  }

  #termOf({ site, set }: PenaltyTerm, lambda: number): tf.Tensor {
    const read = (groups: GroupSet): tf.Tensor[] =>
      groups.members.map(({ name }) => this.#read(name as WeightName));
    if (!site.gates) return directPenaltyOf(site.set, read(site.set), lambda, this.#depth);
    if (set) return smoothPenaltyOf(set, read(set), site.gates.read(), lambda);
    // The site's ω is penalised by another term: what is left is (λ/D)·Σγ².
    return frozenPenalty(tensorOps, [site.gates.read()], lambda / this.#depth);
  }

  /** The factors of one site as they stand: its ω (w, under a direct penalty) and its gates. */
  factors({ set, gates }: LayerSite): Factors<tf.Tensor> {
    const primary = set.members.map(({ name }) => this.#read(name as WeightName));
    return { primary, gates: gates ? unstackGates(gates.read()) : [] };
  }

  /** Sets the gates so that the weights are (`variance-matched`: have the variance of) what the primaries hold now. */
  initialise(scheme: InitialScheme, seed: number): void {
    const gateless = this.sites.some(({ gates }) => !gates);
    if (scheme === "ones" || gateless) return;
    tf.tidy(() => {
      if (scheme === "variance-matched") for (const site of this.sites) this.#drawFactors(site, seed);
      else this.#balance();
    });
  }

  /** Balances the sites in turn. Each turn lowers the penalty of the same weights, which is convex in log γ. */
  #balance(): void {
    const rounds = this.sites.length > 1 ? 40 : 1;
    for (let round = 0; round < rounds; round += 1) {
      for (const site of this.sites) {
        const { primary, gates } = this.factors(site);
        const product = gateProduct(tensorOps, gates);
        const weights = membersOf(site.spec, site.set).map(({ layout }, m) =>
          applyGates(primary[m]!, layout, product),
        );
        const factors = balancedFactors(tensorOps, site.set, weights, this.#depth);
        const norm = factors.gates[0]!;
        const dead = tf.equal(norm, 0);
        // A group of zeros would stay zero for ever with gates of zero: one lets it learn.
        const learnable = tf.where(dead, tf.onesLike(norm), norm);
        this.#write(site, { primary: factors.primary, gates: factors.gates.map(() => learnable) });
      }
    }
  }

  /**
   * Draws factors for weights of mean square 1 and scales them to these, by c = (mean w²)^{1/(2D)} each: the weights stay on
   * their device, and WebGPU in Node has no way of reading them at once.
   */
  #drawFactors(site: LayerSite, seed: number): void {
    const { set } = site;
    const { primary } = this.factors(site);
    const ones = set.members.map(({ shape }) => new Float32Array(sizeOf(shape)).fill(1));
    const random = randomGenerator(seed);
    const drawn = initialFactors(set, ones, { depth: this.#depth, scheme: "variance-matched", random });
    const elements = set.sizes.reduce((a, b) => a + b);
    const meanSquare = tf.div(tf.sum(squaredGroupNorms(tensorOps, set, primary)), elements);
    const share = tf.pow(tf.where(tf.equal(meanSquare, 0), 1, meanSquare), 0.5 / this.#depth);
    const shrink = tf.pow(share, 1 - this.#depth);
    this.#write(site, {
      primary: set.members.map(({ shape }, m) =>
        tf.mul(tf.mul(primary[m]!, tf.tensor(drawn.primary[m]!, [...shape])), shrink),
      ),
      gates: drawn.gates.map((gate) => tf.mul(tf.tensor1d(gate), share)),
    });
  }

  #write({ set, gates }: LayerSite, factors: Factors<tf.Tensor>): void {
    set.members.forEach(({ name }, m) => this.#variable(name as WeightName).write(factors.primary[m]!));
    gates?.write(tf.stack([...factors.gates]));
  }

  #read(weight: WeightName): tf.Tensor {
    return this.#variable(weight).read();
  }

  #variable(weight: WeightName): tf.LayerVariable {
    const variable = this.#primaries.get(weight);
    if (!variable) throw new Error(`unreachable: no weight ${weight}`);
    return variable;
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function membersOf(
  spec: SiteSpec,
  set: GroupSet,
): { readonly weight: WeightName; readonly layout: GroupLayout }[] {
  return spec.members.map(({ weight }, m) => ({ weight, layout: set.members[m]!.layout }));
}

function memberGroups({ kind, members }: SiteSpec, layer: string, primaries: Primaries): GroupMember[] {
  return members.map(({ weight, axis, blockSize }) => {
    const shape = primaries.get(weight)?.shape;
    if (!shape?.every((size) => size !== null)) {
      throw new DgateError(
        "GROUP",
        `layer "${layer}": site ${kind} needs the weight "${weight}", which the layer is configured to lack; ` +
          `give it one, or leave it out with the rule { layer: "${layer}", site: "none" }.`,
      );
    }
    return { name: weight, shape, layout: layoutOf(axis, blockSize) };
  });
}

function layoutOf(axis: number, blockSize: number): GroupLayout {
  if (axis < 0) return { kind: "tensor" };
  return blockSize > 1 ? { kind: "blocks", axis, blockSize } : { kind: "axis", axis };
}
