import { DgateError, randomGenerator } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { denormalise, normalise } from "../prune/normalise.ts";
import type { PruneReport } from "../prune/prune.ts";
import type { RunnerOptions } from "../runtime/open-runner.ts";
import { Batches, type BatchSource, keptFeatures, stopIfAborted } from "./batches.ts";
import { findLayers, type Layer } from "./find-layers.ts";
import { fitLayer } from "./fit-layer.ts";
import { LayerEquations } from "./layer-equations.ts";
import { readWeights, sizesOf } from "./layer-weights.ts";
import { NormalEquations } from "./normal-equations.ts";
import { compareOutputs } from "./output-error.ts";
import { openProbe } from "./probe.ts";
import type { LayerRecovery, RecoveryProgress, RecoveryReport } from "./report.ts";

/** Options of `recover`. */
export interface RecoverOptions extends RunnerOptions {
  /**
   * How strongly the weights are held where they are, as a fraction of the mean square of the inputs (default 1e-2). 0 is plain least
   * squares; the larger, the nearer the weights stay.
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

/** Normal equations that are kept at once; a level with more is done in several passes. */
const byteBudget = 2 ** 30;

/**
 * Recovers a pruned model without labels or gradients: every Gemm, MatMul and Conv that read removed channels is fitted anew, so
 * that its output is again what the dense model gives for the same inputs. With X what the layer sees in the pruned model, Y
 * the dense layer's output before its activation and W₀ the weights that survived (biases included)
 *
 *     W = argmin ‖X·W − Y‖² + ridge · mean diag(XᵀX) · ‖W − W₀‖²
 *
 * in closed form, layer after layer, each seeing what the layers before it give after their own fit. This is the least-squares
 * reconstruction of channel pruning (He, Zhang and Sun, ICCV 2017, arXiv 1707.06168) and of Optimal Brain Compression (Frantar and
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
  const { ridge = 1e-2, maxRows = 4096, validation, signal } = options;
  checkOptions(ridge, maxRows);
  const sets = [new Batches(batches, "batches", signal)];
  if (validation) sets.push(new Batches(validation, "validation", signal));
  // The constants that `cuts` speaks of are those of the normal form.
  const whole = normalise(dense);
  denormalise(whole);
  const work = pruned.graph.clone();
  const { layers, skipped } = findLayers(whole, work, pruned.report.cuts);
  const run = new Recovery(whole, work, pruned.report, sets, { ...options, ridge, maxRows }, layers.length);
  const fitted: LayerRecovery[] = [];
  for (const chunk of chunksOf(layers, sets.length)) fitted.push(...(await run.fit(chunk)));
  const compared = { dense: whole, before: pruned.graph, after: work, report: pruned.report };
  let compares = 0;
  const [errors, heldOut] = await compareOutputs(compared, sets, runtimeOf(options), () =>
    run.progress("compare", ++compares),
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

/** Layers of one level whose normal equations fit the memory together, level by level. */
function chunksOf(layers: readonly Layer[], sets: number): Layer[][] {
  const chunks: Layer[][] = [];
  let bytes = 0;
  for (const layer of layers.toSorted((a, b) => a.level - b.level)) {
    const { groups, depth, outputs } = sizesOf(layer);
    const own = sets * groups * NormalEquations.bytes(depth + 1, outputs);
    const last = chunks.at(-1);
    if (last?.[0]?.level === layer.level && bytes + own <= byteBudget) {
      last.push(layer);
      bytes += own;
    } else {
      chunks.push([layer]);
      bytes = own;
    }
  }
  return chunks;
}

/** The walk over the levels: what is done so far is in `work`. */
class Recovery {
  readonly #dense: Graph;
  readonly #work: Graph;
  readonly #report: Pruned["report"];
  readonly #sets: readonly Batches[];
  readonly #options: RecoverOptions & { readonly ridge: number; readonly maxRows: number };
  readonly #total: number;
  #done = 0;

  constructor(
    dense: Graph,
    work: Graph,
    report: Pruned["report"],
    sets: readonly Batches[],
    options: RecoverOptions & { readonly ridge: number; readonly maxRows: number },
    total: number,
  ) {
    this.#dense = dense;
    this.#work = work;
    this.#report = report;
    this.#sets = sets;
    this.#options = options;
    this.#total = total;
  }

  progress(phase: RecoveryProgress["phase"], batches: number): void {
    this.#options.onProgress?.({ phase, done: this.#done, total: this.#total, batches });
  }

  /** Fits layers that do not see each other. */
  async fit(layers: readonly Layer[]): Promise<LayerRecovery[]> {
    const equations = await this.#collect(layers);
    const fitted: LayerRecovery[] = [];
    for (const [i, layer] of layers.entries()) {
      stopIfAborted(this.#options.signal);
      this.progress("solve", 0);
      const [calibration, validation] = equations.map((set) => set[i]);
      const sums = { calibration: calibration!, validation };
      fitted.push(fitLayer(this.#work, layer, sums, this.#options.ridge));
      this.#done += 1;
    }
    return fitted;
  }

  /** The sums of each layer, for each set of inputs. */
  async #collect(layers: readonly Layer[]): Promise<LayerEquations[][]> {
    const options = runtimeOf(this.#options);
    const dense = await openProbe(
      this.#dense,
      layers.map(({ target }) => target),
      options,
    );
    try {
      const pruned = await openProbe(
        this.#work,
        layers.map(({ input }) => input),
        options,
      );
      try {
        const equations: LayerEquations[][] = [];
        let batches = 0;
        for (const set of this.#sets) {
          const own = layers.map((layer) => new LayerEquations(layer, readWeights(layer)));
          await set.each(async (batch, index) => {
            const targets = await dense.run(batch);
            const inputs = await pruned.run(keptFeatures(batch, this.#dense, this.#report.inputs));
            for (const [i, layer] of layers.entries()) {
              const random = randomGenerator((this.#options.seed ?? 1) + 7919 * index + 104_729 * i);
              const y = targets.get(layer.target.name)!;
              own[i]!.add(inputs.get(layer.input.name)!, y, this.#options.maxRows, random);
            }
            this.progress("collect", ++batches);
          });
          for (const each of own) each.finish();
          equations.push(own);
        }
        return equations;
      } finally {
        await pruned.dispose();
      }
    } finally {
      await dense.dispose();
    }
  }
}
