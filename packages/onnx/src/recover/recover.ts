import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import type { PruneReport } from "../prune/prune.ts";
import type { RunnerOptions } from "../runtime/open-runner.ts";
import { Batches, type BatchSource, stopIfAborted } from "./batches.ts";
import { collect, passesOf } from "./collect.ts";
import { findLayers } from "./find-layers.ts";
import { fitLayer } from "./fit-layer.ts";
import { compareOutputs } from "./output-error.ts";
import type { LayerRecovery, RecoveryProgress, RecoveryReport } from "./report.ts";

/** Options of `recover`. */
export interface RecoverOptions extends RunnerOptions {
  /**
   * How strongly the weights are held where they are, as a fraction of the mean square of the inputs. 0 is plain least squares; the
   * larger, the nearer the weights stay. The default of 1e-2 is also the damping of GPTQ (Frantar et al., 2023, arXiv 2210.17323).
   */
  readonly ridge?: number;
  /** Held-out inputs: a layer's fit is then taken only if it lowers the error on these. */
  readonly validation?: BatchSource;
  /** At most this many rows (positions of a Conv) of each batch are used for a layer, chosen at random (default 4096). */
  readonly maxRows?: number;
  /** Seed of that choice. */
  readonly seed?: number;
  readonly onProgress?: (progress: RecoveryProgress) => void;
  /** Cancels between two batches or layers. */
  readonly signal?: AbortSignal;
}

/** What `prune` gives, as far as it is needed here. */
export interface Pruned {
  readonly graph: Graph;
  readonly report: Pick<PruneReport, "cuts" | "inputs" | "outputs">;
}

/**
 * Recovers a pruned model without labels or gradients: every Gemm, MatMul and Conv that read removed channels is fitted anew, so
 * that its output is again what the dense model gives for the same inputs. With X what the layer sees in the pruned model, Y
 * the dense layer's output before its activation and W₀ the weights that survived (biases included)
 *
 *     W = argmin ‖X·W − Y‖² + ridge · mean diag(XᵀX) · ‖W − W₀‖²
 *
 * in closed form, layer after layer, each seeing what the layers before it give after their own fit. This is the least-squares
 * reconstruction of channel pruning (He, Zhang and Sun, ICCV 2017, arXiv 1707.06168) and of Optimal Brain Compression (Frantar, Singh and
 * Alistarh, NeurIPS 2022, arXiv 2208.11580), with a ridge towards W₀. XᵀX and XᵀY are summed in float64, batch by batch; memory does not
 * grow with the number of batches. Only weights and biases change (a Conv or Gemm without a bias may get one).
 *
 * The graphs are not changed.
 *
 * @param dense the model before pruning
 * @param pruned what `prune(dense, plan)` gave
 * @param batches calibration inputs of the dense model, in onnxruntime's terms; a few hundred are plenty
 * @throws DgateError `OPTION` for options out of range or inputs that can be read once only, `DATA` for no inputs or NaN in them,
 * `CHECK` if the pruned model was not made from the dense one, `ABORTED`, and what `openRunner` and running throw
 */
export async function recover(
  dense: Graph,
  pruned: Pruned,
  batches: BatchSource,
  options: RecoverOptions = {},
): Promise<{ graph: Graph; report: RecoveryReport }> {
  const { ridge = 1e-2, maxRows = 4096, seed = 1, validation, signal } = options;
  checkOptions(ridge, maxRows);
  const sets = [new Batches(batches, "batches", signal)];
  if (validation) sets.push(new Batches(validation, "validation", signal));
  // The constants that `cuts` speaks of are those of the normal form.
  const whole = normalise(dense);
  denormalise(whole);
  const work = pruned.graph.clone();
  const { layers, skipped } = findLayers(whole, work, pruned.report.cuts);
  const runtime = runtimeOf(options);
  const { inputs } = pruned.report;
  const collection = { dense: whole, work, inputs, sets, maxRows, seed, runtime };
  const fitted: LayerRecovery[] = [];
  const progress = (phase: RecoveryProgress["phase"], done: number): void =>
    options.onProgress?.({ phase, done: fitted.length, total: layers.length, batches: done });
  for (const pass of passesOf(layers, sets.length)) {
    const equations = await collect(collection, pass, (done) => progress("collect", done));
    for (const [i, layer] of pass.entries()) {
      stopIfAborted(signal);
      progress("solve", 0);
      const [calibration, held] = equations.map((set) => set[i]);
      fitted.push(fitLayer(work, layer, { calibration: calibration!, validation: held }, ridge));
    }
  }
  const compared = { dense: whole, before: pruned.graph, after: work, report: pruned.report };
  const [errors, heldOut] = await compareOutputs(compared, sets, runtime, (done) =>
    progress("compare", done),
  );
  const empty = sets.reduce((total, set) => total + set.empty, 0);
  const report: RecoveryReport = {
    layers: fitted,
    skipped,
    ...errors!,
    ...(heldOut && { validation: heldOut }),
    notes: empty > 0 ? [`${empty} batches without rows were passed over`] : [],
  };
  return { graph: work, report };
}

function checkOptions(ridge: number, maxRows: number): void {
  if (!(Number.isFinite(ridge) && ridge >= 0)) {
    throw new DgateError("OPTION", `recover: ridge must be a finite number from 0 up, got ${ridge}.`);
  }
  if (!(Number.isSafeInteger(maxRows) && maxRows >= 1)) {
    throw new DgateError("OPTION", `recover: maxRows must be a whole number from 1 up, got ${maxRows}.`);
  }
}

const runtimeOf = ({ runtime, threads, session }: RunnerOptions): RunnerOptions => ({
  ...(runtime && { runtime }),
  ...(threads !== undefined && { threads }),
  ...(session && { session }),
});
