import { expect, test } from "vitest";
import { network } from "../../test/gated-networks.ts";
import { smallModel } from "../../test/small-model.ts";
import { insertGates } from "../gating/insert-gates.ts";
import { gatesKey } from "../gating/gate-record.ts";
import { Graph } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { findSites } from "../sites/find-sites.ts";
import { openRunner } from "./open-runner.ts";
import { openInputs } from "./optional-inputs.ts";
import { numbersOf } from "./run-tensor.ts";

/** y = x · scale + shift, both with defaults. */
function affine(): Graph {
  const graph = new Graph("affine");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 2] });
  const scale = graph.addInitializer("scale", tensorOf("float32", [2], [1, 10]));
  const shift = graph.addInitializer("shift", tensorOf("float32", [], [0.5]));
  graph.declareInput(scale);
  graph.declareInput(shift);
  const product = graph.addNode({ op: "Mul", inputs: [x, scale] }).outputs[0];
  const y = graph.addNode({ op: "Add", inputs: [product, shift] }).outputs[0]!;
  graph.rename(y, "y");
  graph.addOutput(y);
  return graph;
}

const x = { data: [1, 2, 3, 4], shape: [2, 2] };

test.each(["node", "web"] as const)(
  "an input with a default can be fed or left out in onnxruntime-%s",
  async (runtime) => {
    const runner = await openRunner(writeModel(affine()), { runtime, optionalInputs: ["scale"] });
    expect(runner.inputs).toEqual([{ name: "x", dtype: "float32", shape: ["batch", 2] }]);
    expect(runner.optionalInputs).toEqual([{ name: "scale", dtype: "float32", shape: [2] }]);
    expect([...numbersOf((await runner.run({ x })).y!)]).toEqual([1.5, 20.5, 3.5, 40.5]);
    const scaled = await runner.run({ x, scale: { data: [0, -1] } });
    expect([...numbersOf(scaled.y!)]).toEqual([0.5, -1.5, 0.5, -3.5]);
    // The default has not changed.
    expect([...numbersOf((await runner.run({ x })).y!)]).toEqual([1.5, 20.5, 3.5, 40.5]);
    await runner.dispose();
  },
);

test("feeds of optional inputs are checked like all others", async () => {
  const runner = await openRunner(writeModel(affine()), { optionalInputs: ["scale"] });
  await expect(runner.run({ x, scale: { data: [1, 2, 3] } })).rejects.toMatchObject({
    code: "SHAPE",
    message: expect.stringContaining('input "scale" takes float32[2], got float32[3]'),
  });
  await expect(runner.run({ x, scale: { dtype: "float64", data: [1, 2] } })).rejects.toMatchObject({
    code: "SHAPE",
  });
  await expect(runner.run({ x, shift: { data: [1], shape: [] } })).rejects.toMatchObject({
    code: "OPTION",
    message: expect.stringContaining(
      'no input "shift"; the model takes x float32[batch, 2] and can take scale float32[2], given are x, shift',
    ),
  });
  await expect(runner.run({ scale: { data: [1, 2] } })).rejects.toMatchObject({
    message: expect.stringContaining('input "x" is not fed'),
  });
  await runner.dispose();
});

test("without options a model's own defaults stay in it, but for the gates of a gated model", async () => {
  const plain = await openRunner(writeModel(affine()));
  expect(plain.optionalInputs).toEqual([]);
  expect([...numbersOf((await plain.run({ x })).y!)]).toEqual([1.5, 20.5, 3.5, 40.5]);
  await plain.dispose();
  const dense = network("mlp");
  const gated = await openRunner(writeModel(insertGates(dense, findSites(dense), { depth: 3 })));
  expect(gated.inputs.map(({ name }) => name)).toEqual(["x"]);
  expect(gated.optionalInputs).toEqual([
    { name: "fc1.neurons.gate.1", dtype: "float32", shape: [7] },
    { name: "fc1.neurons.gate.2", dtype: "float32", shape: [7] },
    { name: "mid.neurons.gate.1", dtype: "float32", shape: [6] },
    { name: "mid.neurons.gate.2", dtype: "float32", shape: [6] },
  ]);
  await gated.dispose();
});

test("names that are no optional inputs are refused", async () => {
  for (const name of ["x", "y", "nothing"]) {
    await expect(openRunner(writeModel(affine()), { optionalInputs: [name] })).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining(
        `names "${name}", but the model has no input of that name with a default`,
      ),
    });
  }
  // A constant that is no input stays what it is.
  const graph = affine();
  graph.undeclareInput(graph.value("shift")!);
  expect(() => openInputs(writeModel(graph), ["shift"])).toThrow(/no input of that name/);
});

test("only the defaults that are asked for leave the file, and everything else stays as it is", () => {
  const bytes = writeModel(affine());
  const { bytes: opened, defaults } = openInputs(bytes, ["shift"]);
  expect([...defaults].map(([name, data]) => [name, [...readNumbers(data)]])).toEqual([["shift", [0.5]]]);
  const graph = readModel(opened);
  expect(graph.requiredInputs.map(({ name }) => name)).toEqual(["x", "shift"]);
  const expected = affine();
  expected.value("shift")!.data = undefined;
  expect(String(graph)).toBe(String(readModel(writeModel(expected))));
  // Nothing is copied where there is nothing to do.
  expect(openInputs(bytes).bytes).toBe(bytes);
  const small = writeModel(smallModel());
  expect(openInputs(small)).toEqual({ bytes: small, defaults: new Map() });
});

test("what is no ONNX file is left to the runtime, unless inputs are asked for", () => {
  const ortFormat = new TextEncoder().encode("\u0018\0\0\0ORTM and so on");
  expect(openInputs(ortFormat).bytes).toBe(ortFormat);
  expect(() => openInputs(ortFormat, ["a"])).toThrow(expect.objectContaining({ code: "FORMAT" }));
  const graph = affine();
  graph.info = { ...graph.info, metadata: new Map([[gatesKey, "{"]]) };
  const bytes = writeModel(graph);
  expect(openInputs(bytes).bytes).toBe(bytes);
});
