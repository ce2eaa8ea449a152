import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { stored } from "../../test/gated-networks.ts";
import type { Graph } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { planDeadGroups } from "../plan/plan-dead-groups.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { foldGates } from "./fold-gates.ts";
import { insertGates } from "./insert-gates.ts";
import { readGates } from "./read-gates.ts";

/** Models that nobody here wrote, with the least number of gate sets that they have. */
const files: readonly (readonly [file: string, sets: number])[] = [
  ["onnx-structures/mnist.onnx", 2], // IR 3, opset 8
  ["onnx-structures/cnn_mnist_pytorch.onnx", 3],
  ["onnx-structures/bert_toy_optimized.onnx", 11],
  ["onnx-structures/tf_bert_mrpc_opset10.onnx", 25],
  ["onnx-structures/gpt2_pytorch1.4_opset11_no_past.onnx", 24],
  ["models/tinyllamas/stories260K/onnx/model.onnx", 10],
  ["models/vit-cifar10-pgd-2-3-16/model.onnx", 5],
];

const folder = dataFolder();

/** Type, shape and SHA-256 of each constant. */
function digests({ initializers }: Graph): Record<string, string> {
  const entries = initializers.map(({ name, data }) => {
    const { dtype, shape, bytes } = data!;
    return [name, `${dtype}[${shape.join()}] ${createHash("sha256").update(bytes).digest("hex")}`] as const;
  });
  return Object.fromEntries(entries);
}

describe.skipIf(folder === undefined)("gates of models from elsewhere", () => {
  for (const [file, sets] of files) {
    const path = join(folder ?? "", file);
    test.skipIf(!existsSync(path))(
      `${file} computes the same with them, without them, and without what they kill`,
      async () => {
        const dense = readModel(readFileSync(path));
        const gated = insertGates(dense, findSites(dense), { depth: 3, initial: "balanced" });
        expect((await verify(dense, gated, { runs: 1 })).maxRelDiff).toBeLessThan(5e-6);
        const { graph: plain, groups } = foldGates(
          readModel(writeModel(insertGates(dense, findSites(dense)))),
        );
        expect(groups.length).toBeGreaterThanOrEqual(sets);
        expect(digests(plain)).toEqual(digests(stored(dense)));
        for (const { names, product } of new Set(readGates(gated).values())) {
          const gate = gated.value(names[1]!)!;
          const killed = Array.from(readNumbers(gate.data!), (g, j) => (j % 3 === 1 ? 0 : g));
          gate.data = tensorOf("float32", [product.length], killed);
        }
        const folded = foldGates(gated);
        const { plan } = planDeadGroups(findSites(folded.graph), { groups: folded.groups });
        const { graph: small, report } = prune(folded.graph, plan);
        expect(report.after.parameters).toBeLessThan(0.9 * report.before.parameters);
        const { inputs, outputs } = report;
        expect((await verify(gated, small, { runs: 1, inputs, outputs })).maxRelDiff).toBeLessThan(1e-5);
      },
    );
  }
});
