import type { Graph } from "../graph/graph.ts";
import type { Layer } from "./find-layers.ts";
import type { LayerEquations } from "./layer-equations.ts";
import { readWeights, roundTo, writeWeights } from "./layer-weights.ts";
import type { LayerRecovery } from "./report.ts";

/** The least-squares problems of a layer. */
export interface LayerSums {
  readonly calibration: LayerEquations;
  /** On held-out inputs, if there are any. */
  readonly validation: LayerEquations | undefined;
}

/**
 * Fits a layer of `graph` anew, in place, if that lowers its error: on held-out inputs if there are any, else on the calibration
 * inputs. The error is that of the weights as the layer's element type holds them.
 */
export function fitLayer(graph: Graph, layer: Layer, sums: LayerSums, ridge: number): LayerRecovery {
  const { calibration, validation } = sums;
  const before = readWeights(layer);
  const candidate = findFit(layer, calibration, before, ridge);
  const refusal =
    typeof candidate === "string"
      ? candidate
      : refusalOf(validation ?? calibration, before, candidate.weights);
  const taken = typeof candidate === "object" && refusal === undefined;
  const after = taken ? candidate.weights : before;
  if (taken) writeWeights(graph, layer, after);
  const used = typeof candidate === "object" ? candidate.ridge : ridge;
  const notes = notesOn(sums, ridge, used);
  if (refusal !== undefined) notes.push(`keeps its weights: ${refusal}`);
  return {
    node: layer.name,
    tensor: layer.weight.name,
    rows: calibration.samples,
    taken,
    ridge: used,
    errorBefore: errorOf(calibration, before),
    errorAfter: errorOf(calibration, after),
    ...(validation && {
      validation: {
        rows: validation.samples,
        errorBefore: errorOf(validation, before),
        errorAfter: errorOf(validation, after),
      },
    }),
    notes,
  };
}

/** New weights, as the layer's element type holds them; a text if there are none. */
function findFit(
  layer: Layer,
  calibration: LayerEquations,
  before: Float64Array,
  ridge: number,
): { readonly weights: Float64Array; readonly ridge: number } | string {
  if (calibration.mismatched) return "its inputs and the dense outputs do not have the same rows";
  if (calibration.samples === 0) return "there is no row to fit";
  const fit = calibration.fit(before, ridge);
  if (!fit) return "its inputs are all zero, so that no weights are better than others";
  const { dtype } = layer.weight.data!;
  const weights = roundTo(dtype, fit.weights);
  return weights.every(Number.isFinite) ? { ...fit, weights } : `the fit is too large for ${dtype}`;
}

/** Why new weights are not taken. */
function refusalOf(judge: LayerEquations, before: Float64Array, after: Float64Array): string | undefined {
  const [was, is] = [judge.errorOf(before), judge.errorOf(after)];
  return is < was
    ? undefined
    : `the fit does not lower the error (${is.toPrecision(4)} of ${was.toPrecision(4)})`;
}

function notesOn({ calibration, validation }: LayerSums, ridge: number, used: number): string[] {
  const notes: string[] = [];
  const { samples, width } = calibration;
  const dropped = calibration.dropped + (validation?.dropped ?? 0);
  if (dropped > 0) notes.push(`${dropped} rows with NaN or infinite activations were left out`);
  if (samples > 0 && samples < width) {
    notes.push(
      `${samples} rows for ${width} unknowns of each output: the ridge decides the rest; give more inputs`,
    );
  }
  if (used > ridge) notes.push(`the ridge grew to ${used} until the equations were positive definite`);
  return notes;
}

const errorOf = (equations: LayerEquations, weights: Float64Array): number =>
  relativeError(equations.errorOf(weights), equations.energy);

/** Squared error over squared size; a target that is zero everywhere counts as 1. */
export function relativeError(error: number, energy: number): number {
  return error === 0 ? 0 : error / (energy || 1);
}
