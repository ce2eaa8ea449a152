import { DgateError, type RandomGenerator, randomGenerator } from "@dgate/core";
import { expect, test } from "vitest";
import { type Attribute, int, ints } from "../src/graph/attribute.ts";
import type { Graph, Value } from "../src/graph/graph.ts";
import { planFrom } from "../src/plan/plan-from.ts";
import { prune } from "../src/prune/prune.ts";
import { countCosts } from "../src/sites/count-costs.ts";
import { findSites } from "../src/sites/find-sites.ts";
import { GraphBuilder } from "./graph-builder.ts";
import { fusedDecoder } from "./models/fused-decoder.ts";
import { fusedBert, fusedVit } from "./models/fused-encoder.ts";

const runs = process.env.DGATE_NIGHTLY === "1" ? 50_000 : 800;
const seed = 20_261_123;

/** A network with most of what the rules know: convolutions, normalisation, residuals, Concat, Split, Slice, attention. */
function network(): Graph {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 4, 8, 8]);
  const first = net.op("Relu", [net.batchNorm("bn", net.conv("c1", x, [4, 8], { pads: [1, 1, 1, 1] }), 8)]);
  const second = net.conv("c2", first, [8, 8], { pads: [1, 1, 1, 1], group: 2 });
  const joined = net.op("Concat", [net.op("Add", [first, second]), first], { axis: int(1) });
  const pooled = net.op("MaxPool", [joined], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
  const [left, right] = net.graph.addNode({
    op: "Split",
    inputs: [net.convTranspose("up", pooled, [16, 6])],
    outputs: 2,
    attributes: { axis: int(1) },
  }).outputs as [Value, Value];
  const cut = net.op("Slice", [
    net.op("Mul", [left, net.op("Sigmoid", [right])]),
    ...[[0], [6], [2]].map((numbers) => net.integers("slice", numbers)),
  ]);
  const padded = net.op("Pad", [cut, net.integers("pads", [0, 0, 0, 0, 0, 0, 2, 0])]);
  const flat = net.op("Flatten", [net.op("ReduceMean", [padded], { axes: ints([3]), keepdims: int(0) })]);
  const rows = net.reshape(net.gemm("fc", flat, [24, 12]), [0, 2, 6]);
  const scores = net.op("Softmax", [net.op("MatMul", [rows, net.transpose(rows, [0, 2, 1])])]);
  return net.output(net.matmul("head", net.op("MatMul", [scores, rows]), [6, 3]));
}

const odd = [-(2 ** 40), -9, -2, -1, 0, 1, 2, 3, 7, 100, 2 ** 31, 2 ** 45];
const names = [
  "toString",
  "__proto__",
  "constructor",
  "Concat",
  "Split",
  "Reshape",
  "Transpose",
  "Conv",
  "Gather",
];

/** Changes an attribute, an input or the operator of one node. */
function damage(graph: Graph, random: RandomGenerator): void {
  const pick = <T>(list: readonly T[]): T => list[random.integer(list.length)]!;
  const node = pick(graph.nodes());
  const numbers = (): number[] => Array.from({ length: random.integer(5) }, () => pick(odd));
  const attribute = (): Attribute => (random.next() < 0.5 ? int(pick(odd)) : ints(numbers()));
  const kind = random.integer(4);
  if (kind === 0) {
    const known = [...node.attributes.keys()];
    const name = known.length > 0 ? pick(known) : pick(["axis", "axes", "perm", "kernel_shape", "group"]);
    graph.setAttribute(node, name, attribute());
  } else if (kind === 1) {
    graph.setInput(node, random.integer(node.inputs.length + 1), undefined);
  } else if (kind === 2) {
    graph.setInput(
      node,
      random.integer(node.inputs.length + 1),
      pick([...graph.inputs, ...graph.initializers]),
    );
  } else {
    const { inputs, attributes } = node;
    const outputs = graph.addNode({
      op: pick(names),
      inputs,
      attributes,
      outputs: node.outputs.length,
    }).outputs;
    node.outputs.forEach((value, i) => value && graph.replaceUses(value, outputs[i]!));
    graph.remove(node);
  }
}

test(`${runs} graphs with damaged nodes are analysed and pruned, or refused with a typed error, quickly`, () => {
  const random = randomGenerator(seed);
  const originals = [network(), network(), fusedBert(), fusedVit(), fusedDecoder({ packed: true }).graph];
  const counts = { done: 0, refused: 0 };
  let slowest = 0;
  for (let run = 0; run < runs; run++) {
    const graph = originals[run % originals.length]!.clone();
    for (let changes = 1 + random.integer(3); changes > 0; changes--) damage(graph, random);
    const before = performance.now();
    try {
      countCosts(graph);
      prune(graph, planFrom(findSites(graph), { sparsity: 0.5 }));
      counts.done += 1;
    } catch (error) {
      if (!(error instanceof DgateError)) {
        throw new Error(`seed ${seed}, run ${run}: ${String(error)}\n${String(graph)}`, { cause: error });
      }
      counts.refused += 1;
    }
    slowest = Math.max(slowest, performance.now() - before);
  }
  // Were all refused, the damage would be too great to reach what comes after the first check.
  expect(counts.done).toBeGreaterThan(runs / 4);
  expect(counts.refused).toBeGreaterThan(runs / 50);
  expect(slowest).toBeLessThan(5000);
}, 1_800_000);
