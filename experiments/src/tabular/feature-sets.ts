import { mean } from "../report/figures.ts";
import type { Point } from "../training/point.ts";

/** Indices of features. */
export type FeatureSet = readonly number[];

/** The features that a model reads; sites that share their groups keep the same ones. */
export function keptFeatures({ kept = {} }: Pick<Point, "kept">): FeatureSet {
  return Object.values(kept)[0] ?? [];
}

/**
 * How much sets agree beyond chance (Nogueira, Sechidis and Brown 2018): 1 for equal sets, 0 in the mean for drawn ones, whatever their size.
 *
 *     1 − mean_f( M/(M − 1)·p_f(1 − p_f) ) / ( k/d·(1 − k/d) ),  p_f the part of the M sets that have f, k their mean size of d features
 *
 * @returns `undefined` for fewer than two sets, and where all are empty or whole: then there was nothing to choose
 */
export function stabilityOf(sets: readonly FeatureSet[], features: number): number | undefined {
  const count = sets.length;
  const part = mean(sets.map(({ length }) => length)) / features;
  if (count < 2 || part === 0 || part === 1) return undefined;
  const variances = Array.from({ length: features }, (_, f) => {
    const p = sets.filter((set) => set.includes(f)).length / count;
    return (count / (count - 1)) * p * (1 - p);
  });
  return 1 - mean(variances) / (part * (1 - part));
}

/** The set whose size is nearest to the wanted one, the smaller of two; `undefined` if it is off by more than a quarter, and more than one. */
export function setNear(sets: readonly FeatureSet[], size: number): FeatureSet | undefined {
  const off = ({ length }: FeatureSet): number => Math.abs(length - size);
  const [nearest] = sets.toSorted((a, b) => off(a) - off(b) || a.length - b.length);
  return nearest && off(nearest) <= Math.max(1, size / 4) ? nearest : undefined;
}

/** How kept features compare with those that matter. */
export interface Recovery {
  /** Part of the kept ones that matter. */
  readonly precision: number;
  /** Part of those that matter that is kept. */
  readonly recall: number;
  readonly exact: boolean;
}

/** Compares kept features with those that matter, of which there is one at least. */
export function recoveryOf(kept: FeatureSet, truth: FeatureSet): Recovery {
  const found = kept.filter((feature) => truth.includes(feature)).length;
  return {
    precision: kept.length === 0 ? 0 : found / kept.length,
    recall: found / truth.length,
    exact: found === truth.length && kept.length === truth.length,
  };
}
