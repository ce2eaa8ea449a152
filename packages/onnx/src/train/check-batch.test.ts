import { findSites, type Graph, tensorOf } from "@dgate/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bigram, mlp, normals } from "../../test/train/nets.ts";
import type { Batch } from "../recover/batches.ts";
import { crossEntropy, distill, type Loss, meanSquaredError, nextToken } from "./loss.ts";
import { openTrainer } from "./trainer.ts";
import type { Trainer } from "./trainer-options.ts";

const open = (graph: Graph, loss: Loss): Promise<Trainer> =>
  openTrainer(graph, { sites: findSites(graph), loss });

let classifier: Trainer;
let speaker: Trainer;
beforeAll(async () => {
  classifier = await open(mlp(), crossEntropy());
  speaker = await open(bigram(), nextToken());
});
afterAll(async () => {
  await classifier.dispose();
  await speaker.dispose();
});

const x = { data: normals(5, 6 * 8), shape: [6, 8] };
const labels = { data: [0, 2, -100, 1, 1, 2], shape: [6] };
const ids = (last: number) => ({ input_ids: { data: [0, 1, 2, 3, last, 5], shape: [2, 3] } });
const good = { x, labels };

/** What a trainer makes of a good batch and then a bad one: an error that names the second. */
async function refusal(trainer: Trainer, before: Batch, bad: Batch) {
  const step = trainer.step;
  const parameters = await trainer.save();
  const error = await trainer.fit([before, bad]).then(
    () => expect.fail("it was taken"),
    (cause: unknown) => cause as { code: string; message: string },
  );
  expect(error.message).toContain(`batch ${step + 1}`);
  expect(trainer.step).toBe(step + 1);
  // One step was done, so that the trainer goes on from there.
  expect((await trainer.save()).arrays).not.toEqual(parameters.arrays);
  await trainer.fit([before]);
  return error;
}

describe("a batch is refused, naming it and what is wrong, and training goes on after it:", () => {
  test.each([
    [Number.NaN, "NaN"],
    [Infinity, "Infinity"],
    [-Infinity, "-Infinity"],
  ])("%f among its numbers", async (value, printed) => {
    const data = x.data.slice();
    data[3 * 8 + 2] = value;
    const { code, message } = await refusal(classifier, good, { ...good, x: { data, shape: [6, 8] } });
    expect(code).toBe("DATA");
    expect(message).toContain(`${printed} in "x" at row 3`);
  });

  test.each([
    [3, "labels beyond the classes"],
    [-1, "negative labels"],
  ])("label %i: %s", async (label) => {
    const { code, message } = await refusal(classifier, good, {
      x,
      labels: { data: [0, 2, -100, label, 1, 2], shape: [6] },
    });
    expect(code).toBe("DATA");
    expect(message).toContain(`the id ${label}`);
    expect(message).toContain('"labels" at row 3');
    expect(message).toContain("0 to 2");
  });

  test.each([7, -8, 1e6])("token %i of a vocabulary of 7", async (token) => {
    const { code, message } = await refusal(speaker, ids(6), ids(token));
    expect(code).toBe("DATA");
    expect(message).toContain(`the id ${token}`);
    expect(message).toContain('"embedding" has 7 rows');
    expect(message).toContain('"input_ids" at row 1');
  });

  test("inputs that disagree in size, naming both", async () => {
    const { code, message } = await refusal(classifier, good, { x, labels: { data: [0, 1, 2], shape: [3] } });
    expect(code).toBe("SHAPE");
    expect(message).toContain('"labels"');
    expect(message).toContain("size 3");
    expect(message).toContain('"x" has 6');
  });

  test("another size than the model's, another rank, another type, another count", async () => {
    const wide = await refusal(classifier, good, { x: { data: normals(1, 54), shape: [6, 9] }, labels });
    expect(wide.code).toBe("SHAPE");
    expect(wide.message).toContain('"x"');
    expect(wide.message).toContain("float32[6, 9], expected float32[batch, 8]");
    const flat = await refusal(classifier, good, { x: { data: normals(1, 48), shape: [48] }, labels });
    expect(flat.message).toContain("float32[48], expected float32[batch, 8]");
    const integers = await refusal(classifier, good, {
      x: tensorOf(
        "int64",
        [6, 8],
        Array.from({ length: 48 }, () => 1),
      ),
      labels,
    });
    expect(integers.message).toContain("int64[6, 8], expected float32[batch, 8]");
    const short = await refusal(classifier, good, { x: { data: normals(1, 40), shape: [6, 8] }, labels });
    expect(short.code).toBe("SHAPE");
    expect(short.message).toContain("needs 48 values, got 40");
  });

  test("labels that are no whole numbers", async () => {
    const { code, message } = await refusal(classifier, good, {
      x,
      labels: { data: [0, 2, 0.5, 1, 1, 2], shape: [6] },
    });
    expect(code).toBe("DATA");
    expect(message).toContain('"labels"');
  });

  test("missing and unknown inputs, saying what there is", async () => {
    const missing = await refusal(classifier, good, { x });
    expect(missing.code).toBe("OPTION");
    expect(missing.message).toContain('lacks the input "labels"');
    expect(missing.message).toContain("x float32[batch, 8], labels int64[batch]");
    const unknown = await refusal(classifier, good, { ...good, y: x });
    expect(unknown.code).toBe("OPTION");
    expect(unknown.message).toContain('"y" that nothing takes');
  });

  test("no rows at all", async () => {
    const none = { x: { data: [], shape: [0, 8] }, labels: { data: [], shape: [0] } };
    const { code, message } = await refusal(classifier, good, none);
    expect(code).toBe("DATA");
    expect(message).toContain("no rows");
  });
});

test("no batch at all is an error, not a training that did nothing", async () => {
  const used = [good][Symbol.iterator]();
  const once = { [Symbol.iterator]: () => used };
  const { steps } = await classifier.fit(once);
  expect(steps).toBe(1);
  await expect(classifier.fit(once)).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringContaining("no batch"),
  });
});

test("the caller's arrays are not changed by training, and plain numbers do as well as typed ones", async () => {
  const plain = {
    x: { data: [...x.data], shape: [6, 8] },
    labels: { data: BigInt64Array.from(labels.data.map(BigInt)), shape: [6] },
  };
  const before = x.data.slice();
  const typed = await classifier.fit([good]);
  expect(x.data).toEqual(before);
  const other = await open(mlp(), crossEntropy());
  const same = await open(mlp(), crossEntropy());
  const [a, b] = [await other.fit([good]), await same.fit([plain])];
  expect(a.losses).toEqual(b.losses);
  expect(typed.steps).toBe(1);
  await other.dispose();
  await same.dispose();
});

test("inputs that the loss does not need may be given, and need not", async () => {
  const net = new GraphBuilder(3, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
  const a = net.gemm("a", h, [10, 2]);
  const b = net.op("Add", [net.gemm("b", h, [10, 2]), net.input("more", ["batch", 2])]);
  net.graph.rename(a, "first");
  const graph = net.output(a, b);
  const trainer = await open(graph, meanSquaredError({ output: "first" }));
  expect(trainer.inputs.map(({ name }) => name)).toEqual(["x", "targets"]);
  const targets = { data: normals(1, 12), shape: [6, 2] };
  await trainer.fit([
    { x, targets },
    { x, targets, more: targets },
  ]);
  await trainer.dispose();
});

test("an embedding that is gated still has its vocabulary", async () => {
  const graph = bigram();
  const sites = findSites(graph);
  const dimensions = sites.filter(({ kind }) => kind === "dimensions").map(({ name }) => name);
  expect(dimensions.length).toBe(1);
  const trainer = await openTrainer(graph, { sites, gate: dimensions, loss: distill() });
  await expect(trainer.fit([{ input_ids: { data: [0, 9], shape: [1, 2] } }])).rejects.toMatchObject({
    code: "DATA",
  });
  await trainer.dispose();
});
