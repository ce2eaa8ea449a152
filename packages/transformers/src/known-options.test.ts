import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyBertFolder } from "../test/tiny-bert-folder.ts";
import { inspectModel } from "./inspect-model.ts";
import { checkKnown } from "./known-options.ts";
import { openHeadGates } from "./open-head-gates.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-options-"));
  await tinyBertFolder(folder, {});
});
afterAll(async () => rm(folder, { recursive: true }));

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

test("so it is in every function that takes options, and nothing is written", async () => {
  const none = { none: 1 };
  const gates = await openHeadGates(folder);
  const pruned = await gates.prune({ keep: 0.5 });
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    openHeadGates: () => openHeadGates(folder, none as object),
    inspectModel: () => inspectModel(folder, none as object),
    learn: () => gates.learn(["a"], none as object),
    prune: () => gates.prune({ keep: 0.5, ...none }),
    importance: () => gates.importance("l2", [], none as object),
    save: () => pruned.save(join(folder, "small"), none as object),
    modelFiles: () => pruned.modelFiles(none as object),
  };
  for (const [name, call] of Object.entries(calls)) {
    await expect(call()).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining(`${name}: there is no option "none"; there are`) as string,
    });
  }
  expect(existsSync(join(folder, "small"))).toBe(false);
  await gates.pipeline.dispose?.();
});
