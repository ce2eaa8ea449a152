import { DgateError } from "@dgate/core";
import { findSites, type Graph, planFrom, prune, readNumbers, tensorOf } from "@dgate/onnx";
import type { Outcome } from "../training/point.ts";
import type { Task } from "../training/task.ts";
import type { Method } from "./method.ts";
import { trainPenalised } from "./penalised.ts";
import { trainPlainly } from "./training-run.ts";

/** A dense model of the widths that D-Gating with D = 3 ends at, trained from new weights with all the steps. */
export const fromScratch: Method = {
  name: "same widths from scratch",
  strength: "lambda",
  colour: 4,
  async run(context, strengths) {
    const { task, seed } = context;
    const outcomes: Outcome[] = [];
    for (const lambda of strengths) {
      const { kept } = await trainPenalised(context, lambda, { depth: 3 });
      const narrow = await narrowModel(task, seed + 500, kept);
      const graph = await trainPlainly(context, narrow, { from: 0, to: task.steps });
      outcomes.push({ strength: lambda, graph, kept });
    }
    return outcomes;
  },
};

/** An untrained model with these groups of each site. */
async function narrowModel(
  task: Task,
  seed: number,
  kept: Readonly<Record<string, readonly number[]>>,
): Promise<Graph> {
  const wide = await task.build(seed);
  const sites = findSites(wide);
  const { graph: narrow } = prune(wide, planFrom(sites, { kept }));
  if (task.fanIn) for (const value of narrow.initializers) rescale(narrow, wide, value.name);
  return narrow;
}

/** Weights drawn for many inputs are too small for few. Axes: Gemm and MatMul `[in, out]`, Conv of images `[out, in, height, width]`. */
function rescale(narrow: Graph, wide: Graph, name: string): void {
  const value = narrow.value(name)!;
  const [own, other] = [value.data!, wide.value(name)?.data];
  if (own.shape.length < 2 || !other || other.dtype !== "float32") return;
  const axis = { 2: 0, 4: 1 }[own.shape.length];
  if (axis === undefined || other.shape.length !== own.shape.length) {
    throw new DgateError(
      "UNSUPPORTED",
      `same widths from scratch: it is not known which axis of "${name}" [${own.shape.join(", ")}] has the inputs; give the task fanIn: false.`,
    );
  }
  const factor = Math.sqrt(other.shape[axis]! / own.shape[axis]!);
  if (factor === 1) return;
  narrow.setData(
    value,
    tensorOf(
      "float32",
      own.shape,
      Float32Array.from(readNumbers(own), (x) => factor * x),
    ),
  );
}
