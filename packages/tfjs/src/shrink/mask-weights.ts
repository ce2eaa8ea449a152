import * as tf from "@tensorflow/tfjs";
import { propertyName } from "../export/bindings.ts";
import { localName } from "../export/read-weights.ts";
import { leafLayers } from "../gating/model-config.ts";
import type { SiteMember } from "../gating/site.ts";
import type { SiteDecision } from "./decide.ts";

/** Slices of one weight that belong to dead groups. */
interface DeadSlices {
  readonly member: SiteMember;
  readonly dead: readonly number[];
}

/** Zeroes the weights of dead groups in a plain model, in place. Shapes stay. */
export async function maskWeights(model: tf.LayersModel, decisions: readonly SiteDecision[]): Promise<void> {
  const slices = new Map<string, DeadSlices[]>();
  for (const { site, groups } of decisions) {
    for (const member of site.members) {
      const key = `${member.layer}:${member.weight}`;
      slices.set(key, [...(slices.get(key) ?? []), { member, dead: groups.dead }]);
    }
  }
  for (const { layer, path } of leafLayers(model)) {
    for (const variable of layer.weights) {
      const dead = slices.get(`${path}:${propertyName(localName(variable.originalName))}`);
      if (!dead) continue;
      const shape = variable.shape.map(Number);
      const values = Float32Array.from(await variable.read().data());
      for (const { member, dead: indices } of dead) zeroSlices(values, shape, member, indices);
      tf.tidy(() => void variable.write(tf.tensor(values, shape)));
    }
  }
}

/** Sets `values[…, j·blockSize … (j+1)·blockSize − 1, …]` to zero along the member's axis for each dead group j. */
export function zeroSlices(
  values: Float32Array,
  shape: readonly number[],
  { axis, blockSize }: Pick<SiteMember, "axis" | "blockSize">,
  dead: readonly number[],
): void {
  if (axis === -1) {
    if (dead.length > 0) values.fill(0);
    return;
  }
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const run = inner * blockSize;
  for (let outer = 0; outer < values.length; outer += inner * shape[axis]!) {
    for (const group of dead) values.fill(0, outer + group * run, outer + (group + 1) * run);
  }
}
