import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("what is cancelled while it waits for its turn never runs", async () => {
  const turns = new Turns();
  const release: (() => void)[] = [];
  const watched = turns.watch(() => new Promise((resolve) => release.push(resolve)));
  await moment();
  let ran = false;
  const learning = turns.alone(async () => {
    ran = true;
  });
  turns.cancel();
  release[0]!();
  await expect(learning).rejects.toMatchObject({ code: "ABORTED" });
  await watched;
  expect(ran).toBe(false);
  // What is asked for afterwards is not touched.
  expect(await turns.alone(async ({ aborted }) => aborted)).toBe(false);
});

test("what runs is told by its signal", async () => {
  const turns = new Turns();
  const begun = turns.alone(async (signal) => {
    turns.cancel();
    return signal.aborted;
  });
  expect(await begun).toBe(true);
});

test("a watch ends silently for what comes after it, and jobs run in their order", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const watched = turns.watch(async (step) => {
    for (;;) {
      order.push("watch");
      await step();
    }
  });
  await moment();
  await Promise.all(["a", "b"].map((name) => turns.alone(async () => void order.push(name))));
  await watched;
  expect(order[0]).toBe("watch");
  expect(order.slice(-2)).toEqual(["a", "b"]);
});

test("an error of a job is its own: the next one runs", async () => {
  const turns = new Turns();
  const failed = turns.alone(async () => {
    throw new Error("no");
  });
  const next = turns.alone(async () => 1);
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe(1);
});
