import { unzipSync } from "fflate";
import { expect, test } from "vitest";
import { zipped } from "./zipped.ts";

test("a zip has the files as they are, tells how far it is, and lets others have their turn", async () => {
  const large = Uint8Array.from({ length: 9 << 20 }, (_, i) => i % 251);
  const parts: number[] = [];
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const zip = await zipped(
    [
      ["onnx/model.onnx", large],
      ["empty.txt", new Uint8Array()],
    ],
    (part) => parts.push(part),
  );
  clearInterval(timer);
  const files = unzipSync(new Uint8Array(await zip.arrayBuffer()));
  expect(Object.keys(files)).toEqual(["onnx/model.onnx", "empty.txt"]);
  expect(Buffer.compare(files["onnx/model.onnx"]!, large)).toBe(0);
  expect(files["empty.txt"]).toHaveLength(0);
  expect(parts).toHaveLength(3);
  expect(parts.at(-1)).toBe(1);
  expect(turns).toBeGreaterThan(0);
});
