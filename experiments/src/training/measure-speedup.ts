import { type Feed, type Graph, openRunner } from "@dgate/onnx";

const warmUp = 3;
const runs = 25;

/** How many times faster the second model runs, one thread of onnxruntime: ratio of medians of runs in turns. */
export async function measureSpeedup(
  dense: Graph,
  pruned: Graph,
  feeds: Readonly<Record<string, Feed>>,
): Promise<number> {
  const runners = [await openRunner(dense, { threads: 1 }), await openRunner(pruned, { threads: 1 })];
  const times: number[][] = [[], []];
  for (let i = 0; i < warmUp + runs; i++) {
    for (const [r, runner] of runners.entries()) {
      const start = performance.now();
      await runner.run(feeds);
      if (i >= warmUp) times[r]!.push(performance.now() - start);
    }
  }
  await Promise.all(runners.map((runner) => runner.dispose()));
  return median(times[0]!) / median(times[1]!);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
