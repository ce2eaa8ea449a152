import { findSites, type Graph, insertGates, numbersOf, openRunner, readNumbers } from "@dgate/onnx";
import { openTrainer } from "@dgate/onnx/train";
import type { MethodContext } from "./training-run.ts";

/**
 * First-order Taylor importance of groups, E|⟨w_j, ∂L/∂w_j⟩| over batches: the derivative by a gate of one that the group is multiplied with.
 *
 * @returns scores by the name of the site
 */
export async function gradientImportance(
  { task, seed }: MethodContext,
  dense: Graph,
): Promise<Record<string, Float64Array>> {
  const gated = insertGates(dense, findSites(dense), { depth: 2, sites: task.gate });
  // The graph that a trainer whose updates are outside of it runs gives gradients.
  const trainer = await openTrainer(gated, { loss: task.loss, train: "gates", updates: "host", lambda: 0 });
  const fixed = Object.fromEntries(
    trainer.parameters.map(({ name, shape }) => [
      name,
      { data: Float32Array.from(readNumbers(gated.value(name)!.data!)), shape },
    ]),
  );
  await trainer.dispose();
  const runner = await openRunner(trainer.graph, { threads: 1 });
  const scores = new Map<string, Float64Array>();
  try {
    for (const batch of task.calibration(seed)) {
      const outputs = await runner.run({ ...fixed, ...batch, "dgate.lambda": { data: [0], shape: [] } });
      for (const { name, shape } of trainer.parameters) {
        const site = name.replace(/\.gate\.1$/, "");
        const sums = scores.get(site) ?? new Float64Array(shape[0]!);
        numbersOf(outputs[`${name}.gradient`]!).forEach((slope, j) => {
          sums[j]! += Math.abs(slope);
        });
        scores.set(site, sums);
      }
    }
  } finally {
    await runner.dispose();
  }
  return Object.fromEntries(scores);
}
