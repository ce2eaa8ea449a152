import { findSites, int, tensorOf } from "@dgate/onnx";
import { regressionProblem, solveGroupLasso } from "@dgate/testing/numerics";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { meanSquaredError } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";

const [groups, groupSize, rows] = [6, 3, 60];
const problem = regressionProblem({ seed: 11, groups, groupSize, rows, relevant: 3, noise: 0.5 });
const columns = groups * groupSize;

/**
 * y = Σ_j X_j·w_j as a model whose groups are neurons: the features of group j are an example of their own, to be multiplied with column j of a
 * weight `[groupSize, groups]`; a mask leaves that neuron of them alone, and the sum over all neurons is y.
 */
function groupedColumns(start: Float32Array): Graph {
  const net = new GraphBuilder(1, 18);
  const x = net.input("x", ["rows", groups, groupSize]);
  const weight = net.graph.addInitializer("w", tensorOf("float32", [groupSize, groups], start));
  const products = net.op("MatMul", [x, weight], {}, "columns");
  const own = Array.from({ length: groups ** 2 }, (_, i) => (i % groups === Math.floor(i / groups) ? 1 : 0));
  const mask = net.graph.addInitializer("own", tensorOf("float32", [groups, groups], own));
  const kept = net.op("ReduceSum", [net.op("Mul", [products, mask]), net.integers("axes", [1])], {
    keepdims: int(0),
  });
  const ones = net.graph.addInitializer(
    "ones",
    tensorOf("float32", [groups, 1], new Float32Array(groups).fill(1)),
  );
  const y = net.op("MatMul", [kept, ones], {}, "total");
  net.graph.rename(y, "y");
  return net.output(y);
}

/** Full batches through the trainer at falling rates. */
async function solved(
  lambda: number,
  groupWeights: "none" | "sqrt-size",
  penalty: "smooth" | "proximal" = "smooth",
): Promise<Float64Array> {
  // Away from zero, from where no gate would come back.
  const start = Float32Array.from({ length: columns }, (_, i) => 0.5 * (i % 2 === 0 ? 1 : -1));
  const graph = groupedColumns(start);
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    gate: ["columns.neurons"],
    loss: meanSquaredError(),
    // The loss here is ‖Xw − y‖²/n, twice that of the problem.
    lambda: 2 * lambda,
    depth: 2,
    groupWeights,
    penalty,
    optimizer: sgd(),
    learningRate: (progress) => (progress < 0.7 ? 0.05 : progress < 0.9 ? 0.02 : 0.005),
  });
  const batch = {
    x: { data: Float32Array.from(problem.design), shape: [rows, groups, groupSize] },
    targets: { data: Float32Array.from(problem.targets), shape: [rows, 1] },
  };
  const steps = 3000;
  await trainer.fit(
    (function* repeated() {
      for (let i = 0; i < steps; i++) yield batch;
    })(),
    { steps },
  );
  const { graph: folded } = await trainer.fold();
  await trainer.dispose();
  const w = readNumbers(folded.value("w")!.data!);
  return Float64Array.from(
    { length: columns },
    (_, i) => w[(i % groupSize) * groups + Math.floor(i / groupSize)]!,
  );
}

describe("training with D = 2 to the end on a convex loss is the group lasso:", () => {
  test.each([
    [0.2, "none", "smooth"],
    [0.6, "none", "smooth"],
    [0.2, "sqrt-size", "smooth"],
    [0.2, "none", "proximal"],
    [0.2, "sqrt-size", "proximal"],
  ] as const)("λ = %f, weights %s, penalty %s", async (lambda, groupWeights, penalty) => {
    const weights = Array.from({ length: groups }, () =>
      groupWeights === "none" ? 1 : Math.sqrt(groupSize),
    );
    const { design, targets, groups: members } = problem;
    const expected = solveGroupLasso({ design, targets, groups: members, lambda, weights });
    const got = await solved(lambda, groupWeights, penalty);
    const support = members.flatMap((group, j) =>
      Math.hypot(...group.map((i) => got[i]!)) > 1e-3 ? [j] : [],
    );
    expect(support).toEqual(expected.support);
    expect(expected.support.length).toBeGreaterThan(0);
    expect(expected.support.length).toBeLessThan(groups);
    got.forEach((value, i) => expect(Math.abs(value - expected.weights[i]!)).toBeLessThan(1e-4));
  });
});
