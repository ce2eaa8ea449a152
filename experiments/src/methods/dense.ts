import type { Method } from "./method.ts";
import { trainPlainly } from "./training-run.ts";

/** Plain training, nothing removed: what the others are held against. */
export const dense: Method = {
  name: "dense",
  strength: "lambda",
  colour: 0,
  async run(context) {
    const { task, seed } = context;
    const graph = await trainPlainly(context, await task.build(seed), { from: 0, to: task.steps });
    return [{ strength: 0, graph, kept: {} }];
  },
};
