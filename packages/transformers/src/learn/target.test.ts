import { countCosts } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { prunePart } from "../prune/prune-part.ts";
import { randomScores } from "../importance/random.ts";
import { resolveTarget } from "./target.ts";

const options = { dims: { batch_size: 1, sequence_length: 6, past_sequence_length: 0 }, align: 4 };

describe.each([
  ["BERT", () => bert({ head: "classifier", hidden: 24 })],
  ["Llama with grouped queries", () => llama({})],
])("a target of %s", (_name, make) => {
  const { graph } = make();
  const blocks = findBlocks(graph, "model").blocks.filter(({ group }) => group !== "layers");
  const scores = new Map(
    blocks.map(({ name, groups }, i) => [
      name,
      Float64Array.from({ length: groups }, (_, j) => ((7 * j + 3 * i) % 11) / 11),
    ]),
  );

  test.each([0.9, 0.75])("of %f of the multiply–adds is met by the pruned model", async (macs) => {
    const target = resolveTarget(graph, blocks, { macs }, options);
    const kept = target.choose(scores, macs);
    const { graph: pruned, verification } = await prunePart(graph, {
      blocks,
      kept,
      dims: options.dims,
      engine: {},
    });
    const left = countCosts(pruned, options.dims).macs / countCosts(graph, options.dims).macs;
    expect(verification.equal).toBe(true);
    expect(left).toBeLessThanOrEqual(macs + 1e-9);
    // The costs of groups are those that the cut model has: no estimate.
    expect(left).toBeCloseTo(target.fraction(kept), 9);
  });

  test("of heads is met exactly", () => {
    const heads = blocks.filter(({ group }) => group === "heads");
    const count = heads.reduce((sum, { groups }) => sum + groups, 0);
    const target = resolveTarget(graph, blocks, { heads: 0.5 }, { ...options, even: false });
    const kept = target.choose(scores, 0.5);
    expect([...kept.values()].flat()).toHaveLength(count / 2);
    expect(target.fraction(kept)).toBe(0.5);
  });

  test("that cannot be reached is an error that says the closest", () => {
    const target = resolveTarget(graph, blocks, { macs: 0.01 }, options);
    const least = target.least(scores);
    expect(least).toBeGreaterThan(0.01);
    expect(() => target.choose(scores, 0.01)).toThrow(`${(100 * least).toFixed(1)} % are left`);
  });
});

test("heads and neurons in a residual branch that goes count once", async () => {
  const { graph } = bert({ head: "classifier", hidden: 24, layers: 3 });
  const { blocks } = findBlocks(graph, "model");
  expect(new Set(blocks.map(({ group }) => group))).toEqual(new Set(["heads", "ffn", "layers"]));
  let branches = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const scores = randomScores(blocks, seed);
    const target = resolveTarget(graph, blocks, { macs: 0.4 }, options);
    const kept = target.choose(scores, 0.4);
    const { graph: pruned } = await prunePart(graph, { blocks, kept, dims: options.dims, engine: {} });
    const left = countCosts(pruned, options.dims).macs / countCosts(graph, options.dims).macs;
    expect(left).toBeLessThanOrEqual(0.4 + 1e-9);
    expect(left).toBeCloseTo(target.fraction(kept), 9);
    branches += blocks.filter(({ name, group }) => group === "layers" && kept.get(name)!.length === 0).length;
  }
  expect(branches).toBeGreaterThan(0);
});

test.each([
  [{ heads: 0 }, "target is"],
  [{ macs: 1.5 }, "target is"],
  [{ speedup: 0.5 }, "target is"],
  [{ heads: 0.5, macs: 0.5 }, "target is"],
  [{}, "target is"],
  [{ width: 0.5 }, "target is"],
])("the target %j is refused", (target, message) => {
  const { graph } = bert();
  const { blocks } = findBlocks(graph, "model");
  // What a caller without types may give.
  expect(() => resolveTarget(graph, blocks, target as never, options)).toThrow(message);
});

test("groups that cost more are penalised more", () => {
  const { graph } = bert({ hidden: 24 });
  const blocks = findBlocks(graph, "model").blocks.filter(({ group }) => group !== "layers");
  const { weights } = resolveTarget(graph, blocks, { macs: 0.5 }, options);
  const of = (kind: string): number => weights.get(blocks.find(({ group }) => group === kind)!.name)!;
  expect(of("heads")).toBe(1);
  expect(of("ffn")).toBeLessThan(0.5);
  expect(of("ffn")).toBeGreaterThan(0);
});
