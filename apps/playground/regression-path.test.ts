import { describe, expect, test } from "vitest";
import {
  followPath,
  type PathPoint,
  type RegressionSetup,
  type RegressionTruth,
  zeroNorm,
} from "./regression-path.ts";

const setup: RegressionSetup = {
  seed: 3,
  groups: 8,
  groupSize: 2,
  rows: 80,
  relevant: 3,
  noise: 0.2,
  depth: 2,
  points: 8,
  steps: 2000,
};

async function path(
  changes: Partial<RegressionSetup> = {},
): Promise<{ truth: RegressionTruth; points: PathPoint[] }> {
  let truth: RegressionTruth | undefined;
  const points: PathPoint[] = [];
  await followPath(
    { ...setup, ...changes },
    { onTruth: (each) => void (truth = each), onPoint: (point) => void points.push(point) },
  );
  return { truth: truth!, points };
}

const supportOf = ({ norms }: PathPoint): number[] =>
  norms.flatMap((norm, j) => (norm > zeroNorm ? [j] : []));

describe("the path of the playground", () => {
  test("D = 2 meets the optimality conditions of the group lasso at every λ", async () => {
    const { truth, points } = await path();
    for (const { violation } of points) expect(violation).toBeLessThan(1e-4 * truth.lambdaMax);
    expect(supportOf(points[0]!)).toEqual([]);
    expect(supportOf(points.at(-1)!)).toEqual(expect.arrayContaining([...truth.relevant]));
  });

  test.each([3, 4])(
    "D = %i ends where the sparse objective is stationary, and finds the groups that matter",
    async (depth) => {
      const { truth, points } = await path({ depth });
      for (const { violation } of points) expect(violation).toBeLessThan(1e-3 * truth.lambdaMax);
      expect(points.map(supportOf)).toContainEqual([...truth.relevant]);
    },
  );
});
