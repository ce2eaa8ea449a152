import { inferShapes } from "@dgate/onnx";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { dropStaleShapes } from "./stale-shapes.ts";

test("shapes that cannot be are replaced, and others stay as they are declared", () => {
  const b = new GraphBuilder(1, 18);
  const first = b.matmul("fc", b.input("x", ["batch", "time", 3]), [3, 4]);
  const second = b.op("Relu", [first]);
  const third = b.op("Neg", [second]);
  first.type = { dtype: "float32", shape: ["batch", "time", 768] };
  second.type = { dtype: "float32", shape: ["n", "m", 4] };
  third.type = { dtype: "float32", shape: [4] };
  expect(dropStaleShapes(b.output(third))).toBe(2);
  expect(first.type.shape).toEqual(["batch", "time", 4]);
  expect(second.type.shape).toEqual(["n", "m", 4]);
  expect(third.type).toEqual(inferShapes(b.graph).types.get(second));
  expect(dropStaleShapes(b.graph)).toBe(0);
});
