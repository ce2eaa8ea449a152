import { Graph, readNumbers, tensorOf, writeModelParts } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { readDropped } from "./read-dropped.ts";

/** y = x + w, with w in a file beside the model. */
function model(folder: string, value: number, location = "m.onnx_data"): readonly [DroppedFile, DroppedFile] {
  const graph = new Graph("sum");
  const x = graph.addInput("x", { dtype: "float32", shape: [600] });
  const w = graph.addInitializer("w", tensorOf("float32", [600], new Float32Array(600).fill(value)));
  const y = graph.addValue("y", { dtype: "float32", shape: [600] });
  graph.addNode({ op: "Add", inputs: [x, w], outputs: [y] });
  graph.addOutput(y);
  const { model: bytes, data } = writeModelParts(graph, location, { externalData: true });
  // They are in no shared memory.
  const chunks = [...data!.chunks()] as Uint8Array<ArrayBuffer>[];
  return [
    { path: `${folder}m.onnx`, content: new Blob([bytes]) },
    { path: `${folder}${location}`, content: new Blob(chunks) },
  ];
}

const weightOf = async (file: DroppedFile, all: readonly DroppedFile[]): Promise<number> =>
  readNumbers((await readDropped(file, all, file.path)).graph.value("w")!.data!)[0]!;

describe("a model whose weights lie beside it", () => {
  test("has those of its own folder, whatever others have the same name", async () => {
    const [a, aData] = model("a/", 1);
    const [b, bData] = model("b/", 2);
    const all = [a, aData, b, bData];
    expect(await weightOf(a, all)).toBe(1);
    expect(await weightOf(b, all)).toBe(2);
    expect((await readDropped(a, all, "m")).bytes).toBe(a.content.size + 2400);
    await expect(readDropped(b, [a, aData, b], "m.onnx")).rejects.toMatchObject({
      code: "IO",
      message: expect.stringContaining("m.onnx: its weights lie in m.onnx_data"),
    });
  });

  test("that came without folders finds them by their name, if one file has it", async () => {
    const [flat, data] = model("", 3);
    expect(await weightOf(flat, [flat, data])).toBe(3);
    await expect(readDropped(flat, [flat, data, data], "m.onnx")).rejects.toThrow("2 files have this name");
    await expect(readDropped(flat, [flat], "m.onnx")).rejects.toThrow("drop that file together");
  });

  test("that cannot be read any more says so", async () => {
    const gone = { path: "gone.onnx", content: new Blob() };
    Object.assign(gone.content, { arrayBuffer: () => Promise.reject(new Error("NotReadableError")) });
    await expect(readDropped(gone, [gone], "gone.onnx")).rejects.toMatchObject({ code: "IO" });
  });
});
