import type { Scores } from "../prune/choose-groups.ts";

/**
 * Scores divided by the ℓ2 norm of those of their layer, s_h / √Σ_k s_k², as Michel et al. (2019) do after Molchanov et al. (2017). A layer of one
 * group, such as a residual branch, keeps its score, which would be 1 whatever it is; so does a layer of zeros.
 */
export function layerNormalised(scores: Scores): Scores {
  return new Map(
    [...scores].map(([name, values]) => {
      const norm = Math.hypot(...values);
      return [name, values.length > 1 && norm > 0 ? values.map((score) => score / norm) : values];
    }),
  );
}
