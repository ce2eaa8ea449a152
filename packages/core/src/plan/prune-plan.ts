import { DgateError } from "../errors.ts";

/** What stays of one axis of one tensor. Everything coupled to it follows from the model's graph. */
export interface PlannedAxis {
  /** Site the decision comes from, for people. */
  readonly site: string;
  /** Name of the tensor (initializer) in the model. */
  readonly tensor: string;
  readonly axis: number;
  /** Number of groups along the axis. */
  readonly size: number;
  /** Indices per group, so that the axis has `size · blockSize` of them; head dim for heads, else 1. */
  readonly blockSize: number;
  /** Groups that stay, ascending. */
  readonly kept: readonly number[];
}

/** Which indices of which axes of a model stay: plain JSON, made for one architecture. */
export interface PrunePlan {
  readonly version: 1;
  /** `fingerprintOf` the model that the plan was made for. */
  readonly fingerprint: string;
  readonly axes: readonly PlannedAxis[];
}

/**
 * A checked plan with its axes in a fixed order (by tensor, then axis). Throws `GROUP` if an index is outside its
 * axis, repeated or out of order, if one axis is planned twice, or if nothing of an axis of several groups is kept
 * (a single group, such as a whole layer, may go).
 */
export function makePlan(plan: {
  readonly fingerprint: string;
  readonly axes: readonly PlannedAxis[];
}): PrunePlan {
  const axes = plan.axes.map(({ site, tensor, axis, size, blockSize, kept }) => {
    const planned: PlannedAxis = { site, tensor, axis, size, blockSize, kept: [...kept] };
    checkPlannedAxis(planned);
    return planned;
  });
  axes.sort((a, b) => (a.tensor < b.tensor ? -1 : a.tensor > b.tensor ? 1 : a.axis - b.axis));
  axes.forEach((planned, i) => {
    if (i > 0 && keyOf(planned) === keyOf(axes[i - 1]!)) {
      throw new DgateError("GROUP", `plan: ${placeOf(planned)} is planned twice; merge the plans first.`);
    }
  });
  return { version: 1, fingerprint: plan.fingerprint, axes };
}

function checkPlannedAxis(planned: PlannedAxis): void {
  const { axis, size, blockSize, kept } = planned;
  const fail = (problem: string): never => {
    throw new DgateError("GROUP", `plan: ${placeOf(planned)} ${problem}.`);
  };
  if (!isCount(axis)) fail(`has axis ${axis}, expected a whole number from 0`);
  if (!isCount(size) || size < 1) fail(`has size ${size}, expected a whole number from 1`);
  if (!isCount(blockSize) || blockSize < 1)
    fail(`has blockSize ${blockSize}, expected a whole number from 1`);
  kept.forEach((index, i) => {
    if (!isCount(index) || index >= size) fail(`keeps index ${index} of ${size} groups (0 to ${size - 1})`);
    if (i > 0 && index <= kept[i - 1]!) fail(`keeps ${index} after ${kept[i - 1]}; indices must ascend`);
  });
  if (kept.length === 0 && size > 1) fail(`keeps none of ${size} groups; keep at least one`);
}

/**
 * One plan that removes what any of the plans removes: the kept indices of an axis are intersected. Throws `GROUP`
 * if the plans are of different models, disagree about an axis, or leave nothing of one.
 */
export function mergePlans(plans: readonly PrunePlan[]): PrunePlan {
  const [first] = plans;
  if (!first) throw new DgateError("GROUP", "mergePlans: no plan, expected at least one.");
  const merged = new Map<string, PlannedAxis>();
  for (const { fingerprint, axes } of plans) {
    if (fingerprint !== first.fingerprint) {
      throw new DgateError(
        "GROUP",
        `mergePlans: fingerprints ${first.fingerprint} and ${fingerprint} differ: plans of different models.`,
      );
    }
    for (const planned of axes) {
      const other = merged.get(keyOf(planned));
      merged.set(keyOf(planned), other ? intersect(other, planned) : planned);
    }
  }
  return makePlan({ fingerprint: first.fingerprint, axes: [...merged.values()] });
}

function intersect(a: PlannedAxis, b: PlannedAxis): PlannedAxis {
  if (a.size !== b.size || a.blockSize !== b.blockSize) {
    throw new DgateError(
      "GROUP",
      `mergePlans: ${placeOf(a)} has ${a.size} groups of ${a.blockSize} in one plan and ${b.size} of ${b.blockSize} in another.`,
    );
  }
  const both = new Set(b.kept);
  const site = a.site === b.site ? a.site : `${a.site} + ${b.site}`;
  return { ...a, site, kept: a.kept.filter((index) => both.has(index)) };
}

function keyOf({ tensor, axis }: PlannedAxis): string {
  return `${axis} ${tensor}`;
}

function placeOf({ site, tensor, axis }: PlannedAxis): string {
  return `axis ${axis} of "${tensor}" (site "${site}")`;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
