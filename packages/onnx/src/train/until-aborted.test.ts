import { expect, test } from "vitest";
import { untilAborted } from "./until-aborted.ts";

async function collect<T>(
  source: AsyncIterable<T>,
  each: (value: T) => void = () => undefined,
): Promise<T[]> {
  const values: T[] = [];
  for await (const value of source) {
    values.push(value);
    each(value);
  }
  return values;
}

async function* slow(): AsyncGenerator<number> {
  yield 1;
  await new Promise(() => undefined); // never
  yield 2;
}

test("a source is gone through to its end, and closed where the reader stops", async () => {
  let closed = 0;
  function* numbers() {
    try {
      yield* [1, 2, 3];
    } finally {
      closed += 1;
    }
  }
  expect(await collect(untilAborted(numbers(), undefined))).toEqual([1, 2, 3]);
  for await (const value of untilAborted(numbers(), undefined)) if (value === 2) break;
  expect(closed).toBe(2);
});

test("an abort ends the waiting for an element that never comes", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 20);
  expect(await collect(untilAborted(slow(), controller.signal))).toEqual([1]);
});

test("an aborted signal lets nothing more through", async () => {
  const controller = new AbortController();
  const read = await collect(untilAborted([1, 2, 3], controller.signal), (value) => {
    if (value === 2) controller.abort();
  });
  expect(read).toEqual([1, 2]);
});

test("what is no collection is refused", async () => {
  await expect(collect(untilAborted({ x: 1 } as unknown as number[], undefined))).rejects.toMatchObject({
    code: "OPTION",
    message: expect.stringContaining("batches must be an array") as unknown,
  });
});
