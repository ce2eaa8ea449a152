import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fc } from "@dgate/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { smallModel } from "../../test/small-model.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph } from "../graph/graph.ts";
import { tensorOf } from "./tensor-data.ts";
import { openModelFile, readModelFile } from "./read-file.ts";
import { readModel } from "./read.ts";
import { writeModelFile } from "./write-file.ts";
import { writeModelParts } from "./write-parts.ts";
import { writeModel } from "./write.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dgate-write-"));
  path = join(folder, "model.onnx");
});

afterEach(() => rmSync(folder, { recursive: true }));

/** Three dense layers; the weights of the first two take 1024 bytes and more, the biases less. */
function denseModel(): Graph {
  const net = new GraphBuilder(3);
  let x = net.input("x", ["batch", 16]);
  x = net.op("Relu", [net.gemm("a", x, [16, 32])]);
  x = net.op("Relu", [net.gemm("b", x, [32, 24])]);
  return net.output(net.gemm("c", x, [24, 4]));
}

const sameConstants = (a: Graph, b: Graph): void => {
  expect(String(b)).toBe(String(a));
  for (const { name, data } of a.initializers) {
    expect(Buffer.compare(b.value(name)!.data!.bytes, data!.bytes)).toBe(0);
  }
};

describe("a model with external data", () => {
  test("has its large constants beside it, aligned, and reads back the same", async () => {
    const graph = denseModel();
    const { files, sizeBytes } = await writeModelFile(path, graph, { externalData: true });
    expect(readdirSync(folder).sort()).toEqual(["model.onnx", "model.onnx_data"]);
    expect(files).toEqual([path, `${path}_data`]);
    expect(sizeBytes).toBe(statSync(path).size + statSync(`${path}_data`).size);
    const { data } = writeModelParts(graph, "model.onnx_data", { externalData: true });
    expect(Buffer.concat([...data!.chunks()]).equals(readFileSync(`${path}_data`))).toBe(true);
    const read = await openModelFile(path);
    sameConstants(graph, read.graph);
    expect(read.sizeBytes).toBe(sizeBytes);
    // 16·32 and 32·24 numbers of 4 bytes; 24·4·4 = 384 bytes and the biases stay inside.
    expect(read.external).toEqual([{ location: "model.onnx_data", sizeBytes: 2048 + 3072 }]);
    expect(read.bytes.length).toBeLessThan(2000);
  });

  test("keeps that form when it is written again, and loses it when asked", async () => {
    await writeModelFile(path, denseModel(), { externalData: { threshold: 0 } });
    const graph = await readModelFile(path);
    const again = join(folder, "again.onnx");
    expect((await writeModelFile(again, graph.clone())).files).toHaveLength(2);
    const whole = join(folder, "whole.onnx");
    expect((await writeModelFile(whole, graph, { externalData: false })).files).toEqual([whole]);
    sameConstants(graph, await readModelFile(again));
    sameConstants(graph, readModel(readFileSync(whole)));
  });

  test("a model of one file stays one, and one without large constants has no second file", async () => {
    expect((await writeModelFile(path, denseModel())).files).toEqual([path]);
    expect(readFileSync(path).equals(writeModel(denseModel()))).toBe(true);
    const small = join(folder, "small.onnx");
    expect((await writeModelFile(small, smallModel(), { externalData: true })).files).toEqual([small]);
  });

  test("texts, constants of attributes and those of subgraphs stay in the model", async () => {
    const net = new GraphBuilder(1);
    const flag = net.input("flag", [], "int64");
    const branch = new GraphBuilder(2);
    const inner = branch.op("Identity", [branch.weight("inner", [300])]);
    const texts = net.graph.addInitializer(
      "texts",
      tensorOf("string", [300], Array<string>(300).fill("abcd")),
    );
    const condition = net.op("Cast", [flag], { to: { kind: "int", value: 9 } });
    const attributes = { then_branch: { kind: "graph" as const, value: branch.output(inner) } };
    const value = { kind: "tensor" as const, value: net.weight("unused", [300]).data! };
    net.output(
      net.op("If", [condition], attributes),
      net.op("Identity", [texts]),
      net.op("Constant", [], { value }),
    );
    await writeModelFile(path, net.graph, { externalData: true });
    // Only the initializer of the main graph has gone out.
    expect(statSync(`${path}_data`).size).toBe(1200);
    expect(String(await readModelFile(path))).toBe(String(net.graph));
    expect(writeModel(await readModelFile(path))).toEqual(writeModel(net.graph));
  });

  test("a content that two constants share is stored once, and shared again when read", async () => {
    const net = new GraphBuilder(1);
    const a = net.weight("a", [2, 600]);
    const b = net.graph.addInitializer("b", { ...a.data!, shape: [600, 2] });
    net.output(net.op("MatMul", [a, b]));
    await writeModelFile(path, net.graph, { externalData: true });
    expect(statSync(`${path}_data`).size).toBe(4800);
    const read = await readModelFile(path);
    expect(read.value("b")!.data!.bytes).toBe(read.value("a")!.data!.bytes);
  });

  test("contents do not overlap, begin at multiples of 64 (of 4096 from 1 MiB on) and lie where the model says", () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constant(2 ** 20)), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 200 }), (lengths, threshold) => {
        const net = new GraphBuilder(1);
        for (const [i, length] of lengths.entries()) {
          const bytes = new Uint8Array(length).fill(i + 1);
          net.graph.addInitializer(`c${i}`, { dtype: "uint8", shape: [length], bytes });
        }
        const { model, data } = writeModelParts(net.graph, "d", { externalData: { threshold } });
        const file = Buffer.concat([...(data?.chunks() ?? [])]);
        expect(file.length).toBe(data?.sizeBytes ?? 0);
        let end = 0;
        const graph = readModel(model, {
          externalData: ({ offset, length, location }) => {
            expect(location).toBe("d");
            expect(length).toBeGreaterThanOrEqual(threshold);
            expect(offset % (length < 2 ** 20 ? 64 : 4096)).toBe(0);
            expect(offset).toBeGreaterThanOrEqual(end);
            end = offset + length;
            return file.subarray(offset, end);
          },
        });
        sameConstants(net.graph, graph);
      }),
      { seed: 11, numRuns: 60 },
    );
  });
});

/** Name and content of what lies in the folder. */
const present = (): Record<string, string> =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "latin1")]));

describe("files are whole or not there", () => {
  const old = { "model.onnx": "old model", "model.onnx_data": "old data" } as const;
  const putOld = (): void => {
    for (const [name, text] of Object.entries(old)) writeFileSync(join(folder, name), text);
  };

  test("both are replaced", async () => {
    putOld();
    await writeModelFile(path, denseModel(), { externalData: true });
    expect(Object.keys(present()).sort()).toEqual(Object.keys(old));
    sameConstants(denseModel(), await readModelFile(path));
  });

  test("a model may be written over the files that it was read from", async () => {
    await writeModelFile(path, denseModel(), { externalData: true });
    await writeModelFile(path, await readModelFile(path), { externalData: { threshold: 3000 } });
    sameConstants(denseModel(), await readModelFile(path));
    expect(statSync(`${path}_data`).size).toBe(3072);
  });

  test("a cancelled writing leaves what was there, and nothing else", async () => {
    putOld();
    const controller = new AbortController();
    const graph = denseModel();
    const large = { dtype: "uint8", shape: [2 ** 22], bytes: new Uint8Array(2 ** 22) } as const;
    graph.addInitializer("large", large);
    const writing = writeModelFile(path, graph, { externalData: true, signal: controller.signal });
    setImmediate(() => controller.abort());
    await expect(writing).rejects.toMatchObject({ code: "ABORTED" });
    expect(present()).toEqual(old);
  });

  test.each(["model.onnx", "model.onnx_data"])(
    "where %s cannot be put in place, nothing changes",
    async (name) => {
      putOld();
      rmSync(join(folder, name));
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "inside"), "");
      await expect(writeModelFile(path, denseModel(), { externalData: true })).rejects.toMatchObject({
        code: "IO",
        message: expect.stringMatching(new RegExp(`${name}: cannot be written .a folder`)) as unknown,
      });
      expect(readdirSync(folder).sort()).toEqual(Object.keys(old));
      expect(readdirSync(join(folder, name))).toEqual(["inside"]);
      const other = name === "model.onnx" ? "model.onnx_data" : "model.onnx";
      expect(readFileSync(join(folder, other), "latin1")).toBe(old[other]);
    },
  );

  test("a bad threshold is refused before anything is written", async () => {
    await expect(
      writeModelFile(path, denseModel(), { externalData: { threshold: -1 } }),
    ).rejects.toMatchObject({ code: "OPTION" });
    expect(() => writeModelParts(denseModel(), "../data", { externalData: true })).toThrow(/plain name/);
    expect(readdirSync(folder)).toEqual([]);
  });
});
