import type { Graph } from "@dgate/onnx";
import { gradientError } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bigram, mlp, normals, summed } from "../../test/train/nets.ts";
import {
  plainCrossEntropy,
  plainKl,
  plainNextToken,
  plainSquares,
  rowsOf,
} from "../../test/train/plain-losses.ts";
import {
  float64Feeds,
  float64Outputs,
  measureStep,
  plainPenalty,
  unevenlyGated,
} from "../../test/train/training-step.ts";
import {
  crossEntropy,
  distill,
  type Loss,
  meanSquaredError,
  nextToken,
  outputLoss,
  teacherName,
} from "./loss.ts";
import type { TrainingGraphOptions } from "./training-graph.ts";

interface Case {
  readonly graph: Graph;
  readonly loss: Loss;
  readonly feeds: Readonly<
    Record<string, { readonly data: ArrayLike<number>; readonly shape: readonly number[] }>
  >;
  readonly plain: (rows: readonly number[][]) => number;
}

/**
 * Loss, penalty and gradients of a training graph in onnxruntime, held against plain formulas of the outputs in float64 and their central
 * differences. Gives the relative error of the gradient.
 */
async function errorOf(
  { graph, loss, feeds, plain }: Case,
  options: Partial<TrainingGraphOptions> & { readonly depth?: number } = {},
): Promise<number> {
  const { depth = 3, train = "groups", groupWeights = "none" } = options;
  const gated = unevenlyGated(graph, { depth });
  const lambda = 0.05;
  const step = await measureStep(gated, { ...options, loss }, feeds, lambda);
  const outputs = float64Outputs(gated, float64Feeds(gated, feeds));
  const names = step.training.parameters.map(({ name }) => name);
  const arraysOf = (point: readonly Float64Array[]) => new Map(names.map((name, i) => [name, point[i]!]));
  const form = {
    frozen: train === "gates",
    ...(groupWeights === "sqrt-size" && { weightOf: Math.sqrt }),
  };
  const lossAt = (arrays: ReadonlyMap<string, Float64Array>): number =>
    plain(rowsOf([...outputs(arrays).values()][0]!));
  const start = step.training.parameters.map(({ initial }) => Float64Array.from(initial()));
  expect(step.loss).toBeCloseTo(lossAt(arraysOf(start)), 4);
  expect(step.penalty / plainPenalty(gated, arraysOf(start), lambda, form)).toBeCloseTo(1, 5);
  return gradientError(
    (point) => lossAt(arraysOf(point)) + plainPenalty(gated, arraysOf(point), lambda, form),
    start,
    names.map((name) => step.gradients.get(name)!),
  );
}

const x = { data: normals(5, 6 * 8), shape: [6, 8] };
const labels = [0, 2, -100, 1, 1, 2];
const tokens = [1, 4, 0, 6, 2, 3, 5, 5, 0, 0];
const mask = [1, 1, 1, 1, 1, 0, 1, 1, 0, 0];
const ids = { data: tokens, shape: [2, 5] };
const flags = { data: mask, shape: [2, 5] };
const targets = { data: normals(9, 18), shape: [6, 3] };
const teacher = { data: normals(11, 70), shape: [2, 5, 7] };
const rows = (feed: { readonly data: ArrayLike<number>; readonly shape: readonly number[] }): number[][] =>
  rowsOf({ dtype: "float32", shape: feed.shape, data: Float64Array.from(feed.data) });

const cases: Readonly<Record<string, () => Case>> = {
  crossEntropy: () => ({
    graph: mlp(),
    loss: crossEntropy(),
    feeds: { x, labels: { data: labels, shape: [6] } },
    plain: (got) => plainCrossEntropy(got, labels),
  }),
  "crossEntropy of positions, another label ignored": () => ({
    graph: bigram(),
    loss: crossEntropy({ labels: "next", ignore: 3 }),
    feeds: { input_ids: ids, next: ids },
    plain: (got) => plainCrossEntropy(got, tokens, 3),
  }),
  "crossEntropy where no label counts": () => ({
    graph: mlp(),
    loss: crossEntropy(),
    feeds: { x, labels: { data: labels.map(() => -100), shape: [6] } },
    plain: () => 0,
  }),
  nextToken: () => ({
    graph: bigram(),
    loss: nextToken(),
    feeds: { input_ids: ids },
    plain: (got) => plainNextToken(got, tokens, 5),
  }),
  "nextToken with a mask": () => ({
    graph: bigram(),
    loss: nextToken({ mask: "flags" }),
    feeds: { input_ids: ids, flags },
    plain: (got) => plainNextToken(got, tokens, 5, mask),
  }),
  "nextToken where padding is a token": () => ({
    graph: bigram(),
    loss: nextToken({ ignore: 0 }),
    feeds: { input_ids: ids },
    plain: (got) => plainNextToken(got, tokens, 5, undefined, 0),
  }),
  meanSquaredError: () => ({
    graph: mlp(),
    loss: meanSquaredError(),
    feeds: { x, targets },
    plain: (got) => plainSquares(got, rows(targets)),
  }),
  "distill by kl, temperature 2.5": () => ({
    graph: bigram(),
    loss: distill({ temperature: 2.5 }),
    feeds: { input_ids: ids, [teacherName("logits")]: teacher },
    plain: (got) => plainKl(got, rows(teacher), 2.5),
  }),
  "distill by kl with a mask": () => ({
    graph: bigram(),
    loss: distill({ temperature: 0.7, mask: "flags" }),
    feeds: { input_ids: ids, flags, [teacherName("logits")]: teacher },
    plain: (got) => plainKl(got, rows(teacher), 0.7, mask),
  }),
  "distill by mse": () => ({
    graph: bigram(),
    loss: distill({ kind: "mse" }),
    feeds: { input_ids: ids, [teacherName("logits")]: teacher },
    plain: (got) => plainSquares(got, rows(teacher)),
  }),
  "distill by mse with a mask": () => ({
    graph: bigram(),
    loss: distill({ kind: "mse", mask: "flags" }),
    feeds: { input_ids: ids, flags, [teacherName("logits")]: teacher },
    plain: (got) => plainSquares(got, rows(teacher), mask),
  }),
  outputLoss: () => ({
    graph: summed(),
    loss: outputLoss(),
    feeds: { x },
    plain: (got) => got[0]![0]!,
  }),
};

describe("loss, penalty and gradients agree with plain formulas and their central differences:", () => {
  test.each(Object.keys(cases))("%s", async (name) => {
    for (const train of ["gates", "groups", "all"] as const) {
      expect(await errorOf(cases[name]!(), { train })).toBeLessThan(1e-5);
    }
  });

  test.each([2, 3, 4])("depth %i, groups weighted by their size", async (depth) => {
    for (const train of ["gates", "groups"] as const) {
      const error = await errorOf(cases["crossEntropy"]!(), { train, depth, groupWeights: "sqrt-size" });
      expect(error).toBeLessThan(1e-5);
    }
  });
});

test("a mask of the first two axes counts for all that lies below them", async () => {
  const net = new GraphBuilder(4, 18);
  const y = net.op("Tanh", [net.matmul("a", net.input("x", ["batch", "positions", 4]), [4, 6])]);
  const z = net.matmul("b", y, [6, 6]);
  const wide = net.reshape(z, [0, 0, 2, 3]);
  net.graph.rename(wide, "wide");
  const graph = net.output(wide);
  const input = { data: normals(1, 40), shape: [2, 5, 4] };
  const other = { data: normals(2, 60), shape: [2, 5, 2, 3] };
  const twice = mask.flatMap((flag) => [flag, flag]);
  const feeds = { x: input, flags, [teacherName("wide")]: other };
  for (const [kind, plain] of [
    ["mse", plainSquares],
    ["kl", (a: number[][], b: number[][], c: number[]) => plainKl(a, b, 1, c)],
  ] as const) {
    const loss = distill({ kind, mask: "flags" });
    const found = {
      graph,
      loss,
      feeds,
      plain: (got: readonly number[][]) => plain([...got], rows(other), twice),
    };
    expect(await errorOf(found)).toBeLessThan(1e-5);
  }
});
