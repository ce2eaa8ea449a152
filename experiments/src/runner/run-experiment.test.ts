import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Experiment } from "../experiment.ts";
import { findExperiment } from "../registry.ts";
import { runExperiment } from "./run-experiment.ts";

let folder = "";
let file = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-runs-"));
  file = join(folder, "runs.jsonl");
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

const identity = findExperiment("discrete-identity");
const options = { quick: true, backend: "cpu", processes: 1 } as const;
const lines = async (): Promise<number> => (await readFile(file, "utf8")).split("\n").length - 1;

test("runs that are there are not made again; a new seed, backend or version makes new ones", async () => {
  const made: number[] = [];
  const onRun = (done: number): void => void made.push(done);
  const first = await runExperiment(identity, { ...options, file, seeds: [1], onRun });
  expect(made).toEqual([1, 2, 3, 4]);
  const again = await runExperiment(identity, { ...options, file, seeds: [1], onRun });
  expect(again).toEqual(first);
  expect(made).toHaveLength(4);
  await runExperiment(identity, { ...options, file, seeds: [1, 2], onRun });
  expect(made.slice(4)).toEqual([5, 6, 7, 8]);
  // Theory does not depend on it.
  await runExperiment(identity, { ...options, file, seeds: [1], backend: "wasm" });
  expect(await lines()).toBe(8);
  await runExperiment({ ...identity, onBackend: true }, { ...options, file, seeds: [1], backend: "wasm" });
  expect(await lines()).toBe(12);
  await runExperiment({ ...identity, version: identity.version + 1 }, { ...options, file, seeds: [1] });
  expect(await lines()).toBe(16);
});

test("a run that found something absent is made again, and written down only if it says something else", async () => {
  await runExperiment(identity, { ...options, file, seeds: [1] });
  const made: number[] = [];
  const elsewhere: Experiment = { ...identity, isAbsent: () => true };
  await runExperiment(elsewhere, { ...options, file, seeds: [1], onRun: (done) => void made.push(done) });
  expect(made).toHaveLength(4);
  expect(await lines()).toBe(4);
});

test("what is done when it is stopped is kept, and the rest is made the next time", async () => {
  const stop = new AbortController();
  const running = runExperiment(identity, {
    ...options,
    file,
    seeds: [1],
    signal: stop.signal,
    onRun: (done) => void (done === 2 && stop.abort()),
  });
  await expect(running).rejects.toMatchObject({ name: "AbortError" });
  const kept = await lines();
  expect(kept).toBeGreaterThanOrEqual(2);
  const made: number[] = [];
  const runs = await runExperiment(identity, {
    ...options,
    file,
    seeds: [1],
    onRun: (done) => void made.push(done),
  });
  expect(made).toHaveLength(4 - kept);
  expect(runs).toHaveLength(4);
});

test("a run that fails leaves the others to be made, and is told", async () => {
  const broken: Experiment = {
    ...identity,
    // D = 1 has no gates: `measure` throws in its worker.
    setups: () => [
      { seed: 1, depth: 0, cases: 1 },
      { seed: 1, depth: 1, cases: 1 },
      { seed: 1, depth: 2, cases: 1 },
    ],
  };
  const failed: string[] = [];
  const onFailure = ({ message }: Error): void => void failed.push(message);
  await expect(runExperiment(broken, { ...options, file, seeds: [1], onFailure })).rejects.toMatchObject({
    name: "DgateError",
    message: expect.stringMatching(
      /^discrete-identity, {"seed":1,"depth":0.*\(2 runs of 3 failed\)$/,
    ) as string,
  });
  expect(failed).toHaveLength(2);
  expect(failed[1]).toContain('"depth":1');
  expect(await lines()).toBe(1);
});

test("runs are not tried for ever where none can be made", async () => {
  const hopeless: Experiment = {
    ...identity,
    setups: () => Array.from({ length: 8 }, (_, i) => ({ seed: i, depth: 0, cases: 1 })),
  };
  const failed: string[] = [];
  const onFailure = ({ message }: Error): void => void failed.push(message);
  await expect(runExperiment(hopeless, { ...options, file, seeds: [1], onFailure })).rejects.toMatchObject({
    message: expect.stringContaining("(the first 3 runs failed, the others of 8 were not tried)") as string,
  });
  expect(failed).toHaveLength(3);
  // With one that is there others may be made.
  const [ready] = identity.setups({ quick: true, seeds: [1] });
  await runExperiment({ ...identity, setups: () => [ready!] }, { ...options, file, seeds: [1] });
  const some: Experiment = { ...hopeless, setups: (sweep) => [ready!, ...hopeless.setups(sweep)] };
  await expect(runExperiment(some, { ...options, file, seeds: [1] })).rejects.toMatchObject({
    message: expect.stringContaining("(8 runs of 8 failed)") as string,
  });
});
