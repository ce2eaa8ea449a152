import { randomGenerator } from "@dgate/core";
import { findSites, type Graph, ints } from "@dgate/onnx";
import { adam, crossEntropy, openTrainer, type Optimizer, sgd, type TrainerOptions } from "@dgate/onnx/train";
import { expect, test } from "vitest";
import { resolveGates } from "../src/gating/resolve-gates.ts";
import { readCharData, randomCharBatches } from "./char-data.ts";
import { GraphBuilder } from "./graph-builder.ts";
import { charGpt } from "./models/char-gpt.ts";
import {
  adamInFloat64,
  type Float64Batch,
  type Float64Optimizer,
  type Float64Run,
  type Float64Training,
  largestDifference,
  momentumInFloat64,
  trainInFloat64,
} from "./trained-in-float64.ts";

/** Largest difference of a loss from that of the float64 run, relative, in any of the first 50 steps. */
const tolerance = 1e-3;
const steps = 50;

interface Course {
  readonly depth: number;
  readonly lambda: number;
  readonly learningRate: Float64Training["learningRate"];
  readonly clipNorm?: number;
  readonly optimizer: Optimizer;
  readonly inFloat64: Float64Optimizer;
}

/** Trains a model by the trainer and in float64; the difference is that of losses and penalties. */
async function compare(
  dense: Graph,
  batches: readonly Float64Batch[],
  { inFloat64, ...course }: Course,
  places: readonly TrainerOptions["updates"][] = ["host", "graph"],
) {
  const common = { ...course, train: "all", loss: crossEntropy(), sites: findSites(dense) } as const;
  let expected: Float64Run | undefined;
  const differences: number[] = [];
  for (const updates of places) {
    const trainer = await openTrainer(dense, { ...common, ...(updates && { updates }) });
    expected ??= trainInFloat64(dense, batches, {
      ...course,
      optimizer: inFloat64,
      sets: resolveGates(await trainer.gated()).map(({ set }) => set),
      trained: trainer.parameters.flatMap(({ name, kind }) => (kind === "gate" ? [] : [name])),
    });
    const { losses, penalties } = await trainer.fit(batches, { steps: batches.length });
    await trainer.dispose();
    differences.push(
      largestDifference(losses, expected.losses),
      largestDifference(penalties, expected.penalties),
    );
  }
  return { losses: expected!.losses, difference: Math.max(...differences) };
}

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;

const size = 12;

/** Grey images of a bar that lies, stands, falls or rises, somewhere, under noise: the four classes. */
function barBatches(count: number, rows: number): Float64Batch[] {
  const random = randomGenerator(11);
  const bars = [
    (x: number, y: number, at: number) => y - at,
    (x: number, _: number, at: number) => x - at,
    (x: number, y: number, at: number) => x - y + at - size / 2,
    (x: number, y: number, at: number) => x + y - at - size / 2,
  ];
  return Array.from({ length: count }, () => {
    const labels = Array.from({ length: rows }, () => random.integer(bars.length));
    const data = labels.flatMap((label) => {
      const at = 2 + random.integer(size - 4);
      return Array.from({ length: size * size }, (_, i) => {
        const isBar = Math.abs(bars[label]!(i % size, Math.floor(i / size), at)) <= 1;
        return Math.fround((isBar ? 1 : 0) + 0.1 * random.normal());
      });
    });
    return { x: { data, shape: [rows, 1, size, size] }, labels: { data: labels, shape: [rows] } };
  });
}

/** Two convolutions with a pooling behind each, two dense layers: `x [batch, 1, 12, 12]` to 4 logits. */
function convolutional(): Graph {
  const net = new GraphBuilder(5);
  const pool = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };
  const x = net.input("x", ["batch", 1, size, size]);
  const a = net.op("Relu", [net.conv("conv1", x, [1, 8], { pads: [1, 1, 1, 1] })]);
  const b = net.op("Relu", [net.conv("conv2", net.op("MaxPool", [a], pool), [8, 12])]);
  const flat = net.op("Flatten", [net.op("AveragePool", [b], pool)]);
  const c = net.op("Relu", [net.gemm("fc1", flat, [48, 24])]);
  return net.output(net.gemm("out", c, [24, 4]));
}

test("a convolutional net's losses are those of float64, step by step", async () => {
  const { losses, difference } = await compare(convolutional(), barBatches(steps, 16), {
    depth: 3,
    lambda: 2e-3,
    learningRate: () => 0.03,
    optimizer: sgd({ momentum: 0.9 }),
    inFloat64: momentumInFloat64(0.9),
  });
  expect(difference).toBeLessThan(tolerance);
  expect(mean(losses.slice(-10))).toBeLessThan(mean(losses.slice(0, 10)) - 0.15);
}, 120_000);

const text = readCharData();
const gptCourse = (): Course => ({
  depth: 3,
  lambda: 1e-4,
  // Up over the first fifth, then down to nothing.
  learningRate: (progress) => 3e-3 * Math.min(5 * progress, 1.25 * (1 - progress)),
  clipNorm: 1,
  optimizer: adam(),
  inFloat64: adamInFloat64(),
});

async function compareGpt(
  sizes: { layers: number; heads: number; width: number; context: number },
  batch: number,
) {
  const { train, vocabulary } = text!;
  const { graph } = charGpt({ ...sizes, vocabulary: vocabulary.length });
  const { context } = sizes;
  const source = randomCharBatches(train, { batch, context }, 3);
  const batches = Array.from({ length: steps }, () => source.next().value as Float64Batch); // endless; arrays of numbers
  return compare(graph, batches, gptCourse(), ["host"]);
}

test.skipIf(!text)(
  "a small GPT's losses are those of float64, step by step",
  async () => {
    const { losses, difference } = await compareGpt({ layers: 2, heads: 2, width: 16, context: 16 }, 8);
    expect(difference).toBeLessThan(tolerance);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.3);
  },
  120_000,
);

test.skipIf(!text || !process.env["DGATE_NIGHTLY"])(
  "and so are those of one with 4 layers of 4 heads, 128 wide",
  async () => {
    const { losses, difference } = await compareGpt({ layers: 4, heads: 4, width: 128, context: 64 }, 2);
    console.info(
      `GPT, 4 layers, 128 wide: losses of ${steps} steps differ from float64 by at most ${difference}`,
    );
    expect(difference).toBeLessThan(tolerance);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.5);
  },
  600_000,
);
