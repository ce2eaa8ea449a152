import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Field, identity, initializer, model, node, output } from "../../test/hand-made-model.ts";
import { smallModel } from "../../test/small-model.ts";
import { openModelFile, readModelFile } from "./read-file.ts";
import { readModel } from "./read.ts";
import { readNumbers } from "./tensor-data.ts";
import { writeModelFile } from "./write-file.ts";

const entry = (key: string, value: string): Field => [
  13,
  [
    [1, key],
    [2, value],
  ],
];

const external = (location: string, ...rest: Field[]): Uint8Array =>
  identity([2, 1], [1, 2], [14, 1], entry("location", location), ...rest);

/** Initializers c0, c1, … of uint8 with the given offsets and lengths in one file. */
const ranges = (location: string, ...pairs: (readonly [number, number])[]): Uint8Array =>
  model(
    ...pairs.map(([offset, length], i) =>
      initializer(
        `c${i}`,
        [2, 2],
        [1, length],
        [14, 1],
        entry("location", location),
        entry("offset", String(offset)),
      ),
    ),
    node("Identity", ["c0"], ["y"]),
    output("y"),
  );

describe("external data", () => {
  const folder = mkdtempSync(join(tmpdir(), "dgate-onnx-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "model.onnx");
  const read = async (bytes: Uint8Array): Promise<unknown> => {
    writeFileSync(path, bytes);
    const graph = await readModelFile(path);
    return [...readNumbers(graph.value("c")!.data!)];
  };
  mkdirSync(join(folder, "sub"));
  writeFileSync(join(folder, "sub/weights.bin"), new Uint8Array(Float32Array.of(9, 1.5, -2).buffer));
  symlinkSync(join(folder, "sub/weights.bin"), join(folder, "link.bin"));
  symlinkSync(join(folder, "sub"), join(folder, "linked"));

  test("is read from files below the model's folder and written inside the model", async () => {
    const bytes = external("sub/weights.bin", entry("offset", "4"), entry("length", "8"));
    expect(await read(bytes)).toEqual([1.5, -2]);
    const graph = await readModelFile(path);
    await writeModelFile(join(folder, "whole.onnx"), graph);
    expect([...readNumbers((await readModelFile(join(folder, "whole.onnx"))).value("c")!.data!)]).toEqual([
      1.5, -2,
    ]);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  test("is refused without a way to it", () => {
    expect(() => readModel(external("weights.bin"))).toThrow(
      /lies in the file "weights.bin"; read the model with readModelFile/,
    );
  });

  test.each([
    ["/etc/passwd", /is absolute/],
    ["../secret.bin", /leaves its folder/],
    ["sub/../../secret.bin", /leaves its folder/],
    ["C:/secret.bin", /is absolute/],
    ["file:///etc/passwd", /is absolute/],
    ["..\\secret.bin", /no portable path/],
    ["a\0b", /no portable path/],
    ["", /has no location/],
    ["link.bin", /is or passes a link/],
    ["linked/weights.bin", /is or passes a link/],
    ["sub", /is no regular file/],
  ])("at %j is refused", async (location, expected) => {
    const reading = read(external(location));
    await expect(reading).rejects.toMatchObject({ code: "FORMAT" });
    await expect(reading).rejects.toThrow(expected);
  });

  test("that is missing, cut off or of another size is refused", async () => {
    await expect(read(external("none.bin"))).rejects.toMatchObject({ code: "IO" });
    await expect(read(external("sub/weights.bin", entry("offset", "8")))).rejects.toThrow(
      /the file has 12; it is cut off/,
    );
    await expect(read(external("sub/weights.bin", entry("length", "12")))).rejects.toThrow(
      /need 8 bytes.*has 12/,
    );
    await expect(read(external("sub/weights.bin", entry("offset", "-4")))).rejects.toThrow(
      /not a size in bytes/,
    );
    await expect(readModelFile(join(folder, "none.onnx"))).rejects.toMatchObject({ code: "IO" });
    await expect(writeModelFile(join(folder, "whole.onnx/x"), smallModel())).rejects.toMatchObject({
      code: "IO",
    });
  });

  test("of a pipe is refused, not waited for", async () => {
    execFileSync("mkfifo", [join(folder, "pipe.bin")]);
    await expect(read(external("pipe.bin"))).rejects.toThrow(/is no regular file/);
  });

  test("of two tensors may overlap, and the same range is read once", async () => {
    writeFileSync(join(folder, "bytes.bin"), Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    writeFileSync(path, ranges("bytes.bin", [0, 6], [2, 6], [0, 6], [0, 6], [0, 6]));
    const { graph, external: files, sizeBytes } = await openModelFile(path);
    const [a, b, again] = graph.initializers.map(({ data }) => data!.bytes);
    expect([...a!]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...b!]).toEqual([2, 3, 4, 5, 6, 7]);
    expect(again).toBe(a);
    expect(files).toEqual([{ location: "bytes.bin", sizeBytes: 8 }]);
    expect(sizeBytes).toBe((await openModelFile(path)).bytes.length + 8);
  });

  test("of very many overlapping tensors is refused before it takes many times the file, whatever the file is called", async () => {
    const size = 2 ** 30;
    writeFileSync(join(folder, "large.bin"), "");
    truncateSync(join(folder, "large.bin"), size);
    const before = process.memoryUsage().arrayBuffers;
    // Three ranges of almost the whole file by three spellings: two fit.
    const spelled = ["large.bin", "./large.bin", ".//large.bin"].map((location, i) =>
      initializer(
        `c${i}`,
        [2, 2],
        [1, 2 ** 20],
        [14, 1],
        entry("location", location),
        entry("offset", String(i)),
      ),
    );
    writeFileSync(path, model(...spelled, node("Identity", ["c0"], ["y"]), output("y")));
    expect((await openModelFile(path)).external).toHaveLength(1);
    const pairs = Array.from({ length: 1000 }, (_, i) => [i, 2 ** 20] as const);
    writeFileSync(join(folder, "small.bin"), new Uint8Array(2 ** 20 + 1000));
    writeFileSync(path, ranges("small.bin", ...pairs));
    await expect(readModelFile(path)).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringMatching(
        /overlap so much that they would take more than 2 times the 1049576 bytes/,
      ) as unknown,
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });

  test("of 1e9 elements in a short file is refused before memory is taken", async () => {
    const before = process.memoryUsage().arrayBuffers;
    await expect(read(external("sub/weights.bin", [1, 5e8]))).rejects.toThrow(
      /the file has 12; it is cut off/,
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
  });

  test("that no memory can hold is an error with the tensor's size", async () => {
    const size = 2 ** 42;
    writeFileSync(join(folder, "endless.bin"), "");
    truncateSync(join(folder, "endless.bin"), size);
    writeFileSync(path, ranges("endless.bin", [0, size]));
    await expect(readModelFile(path)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining(`no memory for a tensor of ${size} bytes`) as unknown,
    });
  });

  test("says the place in the model that names it", async () => {
    await expect(read(external("../secret.bin"))).rejects.toThrow(
      /model\.onnx > graph > initializer: tensor "c": external data at "\.\.\/secret\.bin" leaves.* \(byte \d+/,
    );
  });
});
