import { expect, test } from "vitest";
import { checkKnown } from "./known-options.ts";

test("an option that there is not is refused, with those that there are", () => {
  const known = { steps: true, seed: true } as const;
  const check = (options: object): void =>
    checkKnown<{ steps?: number; seed?: number }>("learn", options, known);
  check({});
  check({ seed: 1 });
  expect(() => check({ step: 3 })).toThrow(
    expect.objectContaining({
      code: "OPTION",
      message: 'learn: there is no option "step"; there are steps, seed.',
    }),
  );
});
