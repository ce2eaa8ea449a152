import { findSites } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { mlp, normals } from "../../test/train/nets.ts";
import { plainCrossEntropy, rowsOf } from "../../test/train/plain-losses.ts";
import { float64Feeds, float64Outputs, unevenlyGated } from "../../test/train/training-step.ts";
import { foldGates } from "../gating/fold-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const [features, neurons, classes] = [8, 16, 3];
const labels = [0, 2, 0, 1, 1, 2];
const x = { data: normals(5, labels.length * features), shape: [labels.length, features] };
const batch = { x, labels: { data: labels, shape: [labels.length] } };
const [rate, lambda] = [0.4, 0.3];

const arrayOf = (graph: Graph, name: string): Float64Array =>
  Float64Array.from(readNumbers(graph.value(name)!.data!));

/** ∂L₀/∂w of the first layer's weight, by central differences of the dense model in float64. */
function slopes(dense: Graph): Float64Array {
  const outputs = float64Outputs(dense, float64Feeds(dense, { x }));
  const at = (w: Float64Array): number =>
    plainCrossEntropy(rowsOf(outputs(new Map([["fc1/kernel", w]])).get("logits")!), labels);
  const w = arrayOf(dense, "fc1/kernel");
  return w.map((_, i) => {
    const moved = (by: number): Float64Array => w.map((value, k) => (k === i ? value + by : value));
    return (at(moved(1e-5)) - at(moved(-1e-5))) / 2e-5;
  });
}

const column = (matrix: Float64Array, j: number): number[] =>
  Array.from({ length: features }, (_, i) => matrix[i * neurons + j]!);

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);

async function afterOneStep(gated: Graph, options: Partial<TrainerOptions>): Promise<Graph> {
  const trainer = await openTrainer(gated, {
    loss: crossEntropy(),
    optimizer: sgd(),
    learningRate: rate,
    lambda,
    ...options,
  });
  await trainer.fit([batch]);
  const after = await trainer.gated();
  await trainer.dispose();
  return after;
}

/** Numbers of one group: its column of ω, and its gates. */
function groupOf(graph: Graph, gates: readonly string[], j: number) {
  return {
    primary: column(arrayOf(graph, "fc1/kernel"), j),
    gates: gates.map((name) => arrayOf(graph, name)[j]!),
  };
}

const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

describe.each([2, 3, 4])("one plain SGD step at depth %i", (depth) => {
  test.each(["host", "graph"] as const)(
    "changes the imbalance to c²r + η²(π²‖g‖² − π₋d²⟨ω, g⟩²), updates in the %s",
    async (updates) => {
      const gated = unevenlyGated(mlp(), { depth, sites: ["fc1.neurons"] });
      const gates = Array.from({ length: depth - 1 }, (_, d) => `fc1.neurons.gate.${d + 1}`);
      const g = slopes(foldGates(gated).graph);
      const after = await afterOneStep(gated, { updates });
      const c = 1 - (2 * rate * lambda) / depth;
      let secondOrder = 0;
      for (let j = 0; j < neurons; j++) {
        const [old, next] = [groupOf(gated, gates, j), groupOf(after, gates, j)];
        const slope = column(g, j);
        gates.forEach((_, d) => {
          const others = product(old.gates.toSpliced(d, 1));
          const change =
            rate ** 2 *
            (product(old.gates) ** 2 * dot(slope, slope) - others ** 2 * dot(old.primary, slope) ** 2);
          const before = dot(old.primary, old.primary) - old.gates[d]! ** 2;
          const got = dot(next.primary, next.primary) - next.gates[d]! ** 2;
          const scale = dot(next.primary, next.primary) + next.gates[d]! ** 2;
          expect(Math.abs(got - (c ** 2 * before + change)) / scale).toBeLessThan(1e-5);
          secondOrder = Math.max(secondOrder, Math.abs(change) / scale);
        });
      }
      // The law would not be tested by steps so small that only c² shows.
      expect(secondOrder).toBeGreaterThan(1e-3);
    },
  );
});

describe.each([2, 3, 4])("gates of frozen weights, %i a group", (count) => {
  test("have the penalty λ|Πγ|^(2/K), and stay in balance", async () => {
    const graph = mlp();
    const options = { sites: findSites(graph), train: "gates" as const, depth: count };
    const trainer = await openTrainer(graph, {
      ...options,
      loss: crossEntropy(),
      optimizer: sgd(),
      learningRate: rate,
      lambda,
    });
    const { penalties } = await trainer.fit([batch, batch, batch]);
    expect(penalties[0]).toBeCloseTo(lambda * (neurons + 12), 4);
    const before = arrayOf(graph, "fc1/kernel");
    const after = await trainer.gated();
    expect(arrayOf(after, "fc1/kernel")).toEqual(before);
    const products = foldGates(after).groups.flatMap(({ gates }) => [...gates]);
    const next = await trainer.fit([batch]);
    const sparse = lambda * products.reduce((sum, pi) => sum + Math.abs(pi) ** (2 / count), 0);
    expect(next.penalties[0]! / sparse).toBeCloseTo(1, 5);
    expect(Math.max(...products)).not.toBeCloseTo(1, 2);
    await trainer.dispose();
  });

  test("differ after a step by c²(γa² − γb²) + η²(∂L₀/∂π)²(π₋a² − π₋b²)", async () => {
    const gated = unevenlyGated(mlp(), { depth: count + 1, sites: ["fc1.neurons"] });
    const gates = Array.from({ length: count }, (_, d) => `fc1.neurons.gate.${d + 1}`);
    const g = slopes(foldGates(gated).graph);
    const after = await afterOneStep(gated, { train: "gates" });
    const c = 1 - (2 * rate * lambda) / count;
    for (let j = 0; j < neurons; j++) {
      const [old, next] = [groupOf(gated, gates, j), groupOf(after, gates, j)];
      expect(next.primary).toEqual(old.primary);
      const slope = dot(old.primary, column(g, j));
      const others = (d: number): number => product(old.gates.toSpliced(d, 1));
      for (let d = 1; d < count; d++) {
        const before = old.gates[0]! ** 2 - old.gates[d]! ** 2;
        const expected = c ** 2 * before + rate ** 2 * slope ** 2 * (others(0) ** 2 - others(d) ** 2);
        const scale = next.gates[0]! ** 2 + next.gates[d]! ** 2;
        expect(Math.abs(next.gates[0]! ** 2 - next.gates[d]! ** 2 - expected) / scale).toBeLessThan(1e-5);
      }
    }
  });
});

test("the weight of the classes has its own size", () => {
  expect(mlp().value("out/kernel")!.data!.shape).toEqual([12, classes]);
});
