import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quantizeBlocks, verify, writeModel } from "@dgate/onnx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyBertFolder } from "../../test/tiny-bert-folder.ts";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";
import { foldLive } from "./prune-part.ts";

let root: string;
const opened: HeadGates[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "dgate-codes-"));
});

afterAll(async () => {
  for (const gates of opened) await gates.pipeline.dispose?.();
  await rm(root, { recursive: true });
});

/** A tiny BERT of 4-bit codes in blocks of 32, whose float form is the same model. */
async function open(headDim: number): Promise<HeadGates> {
  const folder = await mkdtemp(join(root, "model-"));
  await tinyBertFolder(folder, {
    headDim,
    hidden: 256,
    files: (graph) => ({
      "onnx/model_q4.onnx": writeModel(quantizeBlocks(graph, { blockSize: 32 }).graph),
    }),
  });
  const gates = await openHeadGates(folder, { sites: ["heads", "ffn"] });
  opened.push(gates);
  return gates;
}

test("what is off and cannot be cut out of codes is zero", async () => {
  const gates = await open(32);
  // All heads of a layer, whose branch keeps its bias; and neurons beside the multiple that stays.
  for (let head = 0; head < 4; head++) gates.set(0, head, 0);
  gates.set(1, 2, 0);
  for (let neuron = 32; neuron < 64; neuron++) gates.ffn.set(0, neuron, 0);
  const [part] = gates.internals.parts;
  const gated = foldLive(part!.live!, gates.gatesOf(part!));
  const { files } = await gates.prune();
  const options = { dims: { batch_size: 2, sequence_length: 7 } };
  expect((await verify(gated, files[0]!.graph, options)).maxAbsDiff).toBeLessThan(1e-4);
  expect((await verify(gated, part!.graph, options)).maxAbsDiff).toBeGreaterThan(1e-2);
});

test("codes take no gates between zero and one", async () => {
  const gates = await open(32);
  gates.set(0, 0, 0).set(0, 1, 0.5);
  await expect(gates.prune()).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/model_q4\.onnx holds integer codes.*layer\.0.*dtype: "fp32"/),
  });
});

test("heads that share a block of codes go together, or it is said why not", async () => {
  const gates = await open(16);
  gates.set(0, 1, 0);
  await expect(gates.prune()).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringContaining("lie in blocks of 2 groups"),
  });
  gates.set(0, 0, 0);
  const { files } = await gates.prune();
  expect(files[0]!.pruned!.report.removed).toContainEqual(expect.objectContaining({ groups: 2, kept: 1 }));
});
