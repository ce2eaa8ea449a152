import type { Pattern } from "./attention-block.ts";
import { cachedPatterns } from "./attention-cached.ts";
import { eagerPatterns } from "./attention-eager.ts";
import { einsumPatterns } from "./attention-einsum.ts";
import { foldedPatterns } from "./attention-folded.ts";
import { groupedPatterns } from "./attention-grouped.ts";
import { packedPatterns } from "./attention-packed.ts";
import { relativePatterns } from "./attention-relative.ts";
import { sdpaPatterns } from "./attention-sdpa.ts";
import { windowPatterns } from "./attention-window.ts";

/** Every form of un-fused attention that the test models have, in the order of the table. */
export const patterns: readonly Pattern[] = [
  ...eagerPatterns,
  ...sdpaPatterns,
  ...foldedPatterns,
  ...relativePatterns,
  ...packedPatterns,
  ...groupedPatterns,
  ...einsumPatterns,
  ...cachedPatterns,
  ...windowPatterns,
];
