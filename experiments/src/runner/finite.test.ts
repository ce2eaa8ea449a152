import { expect, test } from "vitest";
import { checkFinite } from "./finite.ts";

test("a result with a number that is not finite is refused, with its place", () => {
  checkFinite({ a: [1, { b: 0 }], c: "NaN", d: null, e: true }, "result");
  for (const bad of [Number.NaN, Infinity, -Infinity]) {
    expect(() => checkFinite({ a: [1, { b: bad }] }, "result")).toThrow(
      expect.objectContaining({
        code: "DIVERGED",
        message: expect.stringContaining(`result.a.1.b is ${bad}`) as string,
      }),
    );
  }
});
