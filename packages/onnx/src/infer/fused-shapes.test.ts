import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { FusedBuilder, headCount } from "../../test/models/fused-builder.ts";
import { fusedDecoder } from "../../test/models/fused-decoder.ts";
import { fusedBert, fusedVit } from "../../test/models/fused-encoder.ts";
import { attentionForms } from "../../test/models/fused-forms.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { inferShapes } from "./infer-shapes.ts";

const shapeOf = (graph: Graph, value: Value, dims = {}) =>
  inferShapes(graph, { dims }).types.get(value)?.shape;

interface Comparison {
  /** `name: inferred, real`, as text. */
  readonly different: readonly string[];
  readonly count: number;
}

/** Every value that a fused operator writes is made an output; inferred and real shapes of all of them. */
async function compareShapes(
  graph: Graph,
  dims: Readonly<Record<string, number>>,
  feeds?: Readonly<Record<string, Tensor>>,
): Promise<Comparison> {
  const written = graph
    .nodes()
    .filter(({ domain, op }) => domain !== "" || op === "Attention" || op.startsWith("Simplified"))
    .flatMap(({ outputs }) => outputs.filter((value) => value !== undefined));
  for (const value of written) {
    value.type = undefined;
    if (!graph.outputs.includes(value)) graph.addOutput(value);
  }
  const runner = await openRunner(writeModel(graph), { runtime: "node" });
  const results = await runner.run(feeds ?? randomInputs(graph, randomGenerator(3), dims));
  await runner.dispose();
  const different = written.flatMap((value) => {
    const real = results[value.name]!.shape;
    // The length of a grouped cache is known at run time only.
    const inferred = shapeOf(graph, value, dims)?.map((dim, axis) => dim ?? real[axis]);
    return String(inferred) === String(real) ? [] : [`${value.name}: ${String(inferred)}, ${String(real)}`];
  });
  return { different, count: written.length };
}

describe("shapes of fused operators are those of onnxruntime", () => {
  test.each(attentionForms)("$name", async ({ build, dims }) => {
    const sizes = { batch: 2, time: 3, others: 5, past_time: 4, ...dims };
    const { different, count } = await compareShapes(build(), sizes);
    expect(different).toEqual([]);
    expect(count).toBeGreaterThan(0);
  });

  test("encoders", async () => {
    const bert = await compareShapes(fusedBert(), { batch: 2, time: 3 });
    expect(bert).toEqual({ different: [], count: 2 + 2 * 10 });
    const vit = await compareShapes(fusedVit(), { batch: 2, time: 3 });
    expect(vit).toEqual({ different: [], count: 2 * 10 });
  });

  test("decoders", async () => {
    const sizes = { batch_size: 1, sequence_length: 2, past_sequence_length: 3, total_sequence_length: 5 };
    const { graph, feeds } = fusedDecoder({ packed: true, rotary: true });
    expect((await compareShapes(graph, sizes, feeds(3, 2))).different).toEqual([]);
    const plain = fusedDecoder({ caches: false });
    const same = { ...sizes, sequence_length: 5 };
    expect((await compareShapes(plain.graph, same, plain.feeds(0, 5))).different).toEqual([]);
  });
});

test("symbolic sizes pass through attention, and a cache grows by the new positions", () => {
  const net = new FusedBuilder();
  const x = net.input("x", ["batch", "time", 6]);
  const past = net.input("past", [2, "batch", 2, "past", 4]);
  const [y, present] = net.fused(
    "Attention",
    [x, net.kernel("w", [6, 24]), net.weight("b", [24]), undefined, past],
    {
      outputs: 2,
      attributes: headCount(2),
    },
  );
  const graph = net.output(y!, present!);
  expect(shapeOf(graph, y!)).toEqual(["batch", "time", 8]);
  expect(shapeOf(graph, present!, { past: 3, time: 2 })).toEqual([2, "batch", 2, 5, 4]);
});

test("an attention in an unknown layout has no shape, and nothing is invented", () => {
  const net = new FusedBuilder();
  const x = net.input("x", ["batch", 6]);
  const [y] = net.fused("MultiHeadAttention", [x, x, x], { attributes: headCount(2) });
  expect(shapeOf(net.output(y!), y!)).toBeUndefined();
});
