import { DgateError } from "@dgate/core";
import type * as OrtNode from "onnxruntime-node";
import type * as OrtWeb from "onnxruntime-web";
import { expect, expectTypeOf, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { smallModel } from "../../test/small-model.ts";
import { Graph } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModelParts } from "../io/write-parts.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "./open-runner.ts";
import { importFirstOrt, importOrt, type OrtModule } from "./ort-module.ts";
import { constantOf, numbersOf } from "./run-tensor.ts";
import { runnableOf } from "./runnable.ts";

const x = tensorOf("float32", [2, 4], [1, -2, 3, -4, 0.5, 0.25, -0.125, 8]);

test("onnxruntime-node and onnxruntime-web give the same outputs and the same descriptions", async () => {
  const bytes = writeModel(smallModel());
  const [node, web] = [await openRunner(bytes), await openRunner(bytes, { runtime: "web" })];
  expect(node.inputs).toEqual([{ name: "x", dtype: "float32", shape: ["batch", 4] }]);
  expect(web.inputs).toEqual(node.inputs);
  expect(web.outputs).toEqual(node.outputs);
  const [a, b] = [await node.run({ x }), await web.run({ x })];
  expect(a.y!.shape).toEqual([2, 3]);
  const difference = numbersOf(a.y!).map((value, i) => value - numbersOf(b.y!)[i]!);
  expect(Math.max(...difference.map(Math.abs))).toBeLessThan(1e-6);
  await Promise.all([node.dispose(), web.dispose(), web.dispose()]);
  await expect(node.run({ x })).rejects.toThrow(/was disposed/);
});

test("a runner says which runtime it has", async () => {
  for (const runtime of ["node", "web"] as const) {
    const runner = await openRunner(smallModel(), { runtime });
    expect(runner.runtime).toBe(runtime);
    await runner.dispose();
  }
});

/** `x·W`, or with a branch of constants of its own `x·W + c`; both constants take more than 1024 bytes. */
function largeModel(): Graph {
  const net = new GraphBuilder(5);
  const attributes = (["then_branch", "else_branch"] as const).map((name) => {
    const branch = new GraphBuilder(name.length);
    return [
      name,
      { kind: "graph", value: branch.output(branch.op("Identity", [branch.weight("c", [300])])) },
    ] as const;
  });
  const flag = net.graph.addInitializer("flag", tensorOf("bool", [], [1]));
  const chosen = net.op("If", [flag], Object.fromEntries(attributes));
  return net.output(net.op("Add", [net.matmul("fc", net.input("x", ["batch", 4]), [4, 300], false), chosen]));
}

test.each(["node", "web"] as const)("%s takes external data from memory", async (runtime) => {
  const graph = largeModel();
  const whole = await openRunner(writeModel(graph), { runtime });
  const expected = await whole.run({ x });
  await whole.dispose();
  const { bytes, externalData } = runnableOf(graph, 0);
  // The constants themselves, not copies; those of the branches stay in the model.
  expect(externalData.map(({ data }) => data.length)).toEqual([4800]);
  expect(externalData.at(-1)!.data).toBe(graph.value("fc/kernel")!.data!.bytes);
  const { model, data } = writeModelParts(graph, "weights.bin", { externalData: true });
  const file = { path: "weights.bin", data: Buffer.concat([...data!.chunks()]) };
  for (const [source, files] of [
    [bytes, externalData],
    [model, [file]],
  ] as const) {
    const parts = await openRunner(source, { runtime, externalData: files });
    expect(await parts.run({ x })).toEqual(expected);
    await parts.dispose();
  }
  await expect(openRunner(model, { runtime })).rejects.toMatchObject({ code: "FORMAT" });
});

test("a model past 4 GiB is refused by onnxruntime-web with the way out", async () => {
  const data = new Uint8Array(2 ** 30); // never touched, so it takes no memory
  const externalData = ["a", "b", "c", "d"].map((path) => ({ path, data }));
  await expect(openRunner(writeModel(smallModel()), { runtime: "web", externalData })).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/ends at 4 GiB .* runtime: "node"/) as unknown,
  });
});

test("plain arrays, typed arrays, constants and outputs can all be fed", async () => {
  const runner = await openRunner(writeModel(smallModel()));
  const numbers = readNumbers(x);
  const { y } = await runner.run({ x });
  for (const data of [numbers, [...numbers]]) {
    expect(await runner.run({ x: { data, shape: [2, 4] } })).toEqual({ y });
  }
  expect(
    await runner.run({ x: { dtype: "float32", data: Float64Array.from(numbers), shape: [2, 4] } }),
  ).toEqual({ y });
  await runner.dispose();
});

/** Identity for one type, so that content goes through the runtime and back. */
function identity(dtype: DataType): Uint8Array {
  const graph = new Graph("identity");
  const input = graph.addInput("x", { dtype, shape: ["n"] });
  const output = graph.addValue("y", { dtype, shape: ["n"] });
  graph.addNode({ op: "Identity", inputs: [input], outputs: [output] });
  graph.addOutput(output);
  return writeModel(graph);
}

test.each([
  ["float32", [0.5, -2]],
  ["float64", [1e300, -2]],
  ["float16", [0.5, 65504]],
  ["int8", [-128, 127]],
  ["uint8", [0, 255]],
  ["int16", [-32768, 1]],
  ["uint16", [65535, 1]],
  ["int32", [-(2 ** 31), 1]],
  ["uint32", [2 ** 32 - 1, 1]],
  ["int64", [-(2 ** 50), 1]],
  ["uint64", [2 ** 50, 1]],
  ["bool", [1, 0]],
] as const)("%s goes through the runtime unchanged", async (dtype, values) => {
  const runner = await openRunner(identity(dtype));
  const fromConstant = await runner.run({ x: tensorOf(dtype, [2], values) });
  expect(fromConstant.y!.dtype).toBe(dtype);
  expect([...numbersOf(fromConstant.y!)]).toEqual(values);
  expect([...numbersOf((await runner.run({ x: { data: values } })).y!)]).toEqual(values);
  expect([...numbersOf((await runner.run({ x: fromConstant.y! })).y!)]).toEqual(values);
  await runner.dispose();
});

test("strings go through the runtime unchanged", async () => {
  const runner = await openRunner(identity("string"));
  const { y } = await runner.run({ x: { data: ["a", "ß"] } });
  expect(y!.data).toEqual(["a", "ß"]);
  expect(await runner.run({ x: constantOf(y!) })).toEqual({ y });
  await runner.dispose();
});

/** The code of the DgateError that a promise ends with. */
const code = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => "no error",
    (error: unknown) => (error instanceof DgateError ? error.code : error),
  );

test("wrong feeds and models are refused with a typed error", async () => {
  const runner = await openRunner(writeModel(smallModel()));
  expect(await code(runner.run({}))).toBe("OPTION");
  expect(await code(runner.run({ x: { data: new Float32Array(3), shape: [2, 4] } }))).toBe("SHAPE");
  for (const [feed, got] of [
    [{ data: new Float32Array(6), shape: [2, 3] }, "float32[2, 3]"],
    [{ data: [1, 2, 3, 4] }, "float32[4]"],
    [{ dtype: "float64", data: [1, 2, 3, 4], shape: [1, 4] }, "float64[1, 4]"],
  ] as const) {
    await expect(runner.run({ x: feed })).rejects.toMatchObject({
      code: "SHAPE",
      message: expect.stringContaining(`input "x" takes float32[batch, 4], got ${got}`),
    });
  }
  await expect(runner.run({ x, z: x })).rejects.toMatchObject({
    code: "OPTION",
    message: expect.stringContaining('no input "z"; the model takes x float32[batch, 4], given are x, z'),
  });
  expect(await code(runner.run({ x: { dtype: "float8e4m3fn", shape: [1], bytes: Uint8Array.of(0) } }))).toBe(
    "UNSUPPORTED",
  );
  expect(await code(openRunner(Uint8Array.of(1, 2, 3)))).toBe("FORMAT");
  expect(await code(openRunner(writeModel(smallModel()), { threads: 0 }))).toBe("OPTION");
  await runner.dispose();
});

test("a run that the runtime fails says what was fed", async () => {
  const graph = new Graph("sum");
  const [a, b] = ["a", "b"].map((name) => graph.addInput(name, { dtype: "float32", shape: [undefined] }));
  graph.addOutput(graph.addNode({ op: "Add", inputs: [a, b] }).outputs[0]!);
  const runner = await openRunner(writeModel(graph));
  await expect(runner.run({ a: { data: [1, 2] }, b: { data: [1, 2, 3] } })).rejects.toMatchObject({
    code: "CHECK",
    message: expect.stringMatching(/which takes a float32\[\?\], .* with a float32\[2\], b float32\[3\]: /),
  });
  await runner.dispose();
});

test("a missing runtime is named with the install line", async () => {
  const name = "onnxruntime-nowhere";
  await expect(importOrt(name, () => import(/* @vite-ignore */ name))).rejects.toMatchObject({
    code: "MISSING_PACKAGE",
    message: `${name} is not installed; install it with: npm install ${name}`,
  });
});

function absent(name: string): { name: string; load: () => Promise<unknown> } {
  return { name, load: () => import(/* @vite-ignore */ name) };
}

test("with no runtime named, the one that is installed is taken; without any, all install lines are given", async () => {
  const web = { runtime: "web", name: "onnxruntime-web", load: () => import("onnxruntime-web") } as const;
  const missing = { runtime: "node", ...absent("onnxruntime-nowhere") } as const;
  const found = await importFirstOrt([missing, web]);
  expect(found.runtime).toBe("web");
  expect(found.ort.InferenceSession).toBeDefined();
  await expect(
    importFirstOrt([missing, { runtime: "web", ...absent("onnxruntime-elsewhere") }]),
  ).rejects.toMatchObject({
    code: "MISSING_PACKAGE",
    message: expect.stringMatching(/npm install onnxruntime-nowhere, or .*npm install onnxruntime-elsewhere/),
  });
});

test("the installed packages have what we take from them", () => {
  expectTypeOf<typeof OrtNode>().toExtend<OrtModule>();
  expectTypeOf<typeof OrtWeb>().toExtend<OrtModule>();
});
