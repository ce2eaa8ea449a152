// dev: one seed, variants
import { warmupCosine } from "@dgate/onnx/train";
import { allHeads, batchesOf, denseModel, headNorms, keepHeads, open, strongest, trainPlainly, validationLoss } from "./gpt-heads-model.mjs";

export const S = Number(process.env.S ?? 200);
export const rate = Number(process.env.LR ?? 1e-3);
export const schedule = (from) => { const full = warmupCosine(rate, { warmup: 0.05, end: 0.1 * rate }); return (step) => full((step) / S); };

/** batches `from` on */
export function* rest(batches, from, count = Infinity) {
  let i = 0;
  for (const batch of batches) { if (i++ < from) continue; if (i > from + count) return; yield batch; }
}

/** Gated training; λ grows by a factor each step until `keep` heads are alive, then is `after`. */
export async function gated(dense, { seed, depth, keep, gateRate, from, to, ramp, after = 0, dead = 0.1, stop = false, initial = "balanced", minimum = 0, optimizer }) {
  const lr = schedule();
  let lambda = from; let reached; let step = 0;
  const gr = typeof gateRate === "number" ? () => gateRate : gateRate;
  const trainer = await open(dense, { depth, initial, lambda: () => lambda, learningRate: (p) => lr(p * S), gateRate: (p) => lr(p * S) / rate * (reached === undefined ? gr(p) : rate), ...(optimizer && {optimizer}) });
  const start = await headNorms(trainer);
  const alive = (norms) => norms.reduce((sum, layer, l) => sum + Math.max(minimum, layer.filter((norm, j) => norm > dead * start[l][j]).length), 0);
  async function* steered() {
    for (const batch of rest(batchesOf(seed, 1), 0, S)) {
      if (reached === undefined && step % 2 === 0) {
        const a = alive(await headNorms(trainer));
        if (a <= keep) { reached = step; lambda = after; if (stop) return; }
      }
      if (reached === undefined) lambda = from * (to / from) ** Math.min(1, step / (ramp * S));
      step++;
      yield batch;
    }
  }
  const report = await trainer.fit(steered(), { steps: S });
  const norms = await headNorms(trainer);
  const { graph } = await trainer.fold();
  await trainer.dispose();
  return { graph, norms, reached, lambda: report.penalties.length, steps: report.steps, start, alive: alive(norms) };
}
export const show = (norms) => norms.map((layer) => Array.from(layer, (n) => n.toFixed(2)).join(" ")).join(" | ");
export { allHeads, batchesOf, denseModel, headNorms, keepHeads, open, strongest, trainPlainly, validationLoss };
