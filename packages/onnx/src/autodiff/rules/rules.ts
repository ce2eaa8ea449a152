import type { VjpTable } from "../vjp.ts";
import { contraction } from "./contraction.ts";
import { convolutions } from "./convolution.ts";
import { elementwise } from "./elementwise.ts";
import { indexing } from "./indexing.ts";
import { movement } from "./movement.ts";
import { normalisations } from "./normalisation.ts";
import { padding } from "./pad.ts";
import { poolings } from "./pooling.ts";
import { reductions } from "./reduction.ts";
import { resizing } from "./resize.ts";
import { softmaxes } from "./softmax.ts";

/**
 * Derivatives of the standard operators, in their forms of operator set 18. An operator that is neither here nor among `constantOps` has no
 * derivative, unless the training form writes it with others.
 */
export const vjps: VjpTable = {
  ...elementwise,
  ...contraction,
  ...reductions,
  ...softmaxes,
  ...normalisations,
  ...movement,
  ...indexing,
  ...convolutions,
  ...poolings,
  ...resizing,
  ...padding,
};
