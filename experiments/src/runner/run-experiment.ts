import { setMaxListeners } from "node:events";
import { availableParallelism } from "node:os";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { DgateError, type DgateErrorCode } from "@dgate/core";
import { Tinypool } from "tinypool";
import type { Experiment, Run, RunContext, Setup, Sweep } from "../experiment.ts";
import { provenance } from "./provenance.ts";
import { appendRecord, openRecords, readRecords } from "./record-file.ts";
import { runHash } from "./run-hash.ts";
import type { RunRecord } from "./run-record.ts";
import type { Job, Work } from "./worker.ts";

/** Lets workers read TypeScript, whatever the folder that they are started from. */
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

/** How an experiment is run. */
export interface RunOptions extends Sweep, RunContext {
  /** The JSON-lines file that runs are read from and written to. */
  readonly file: string;
  /** Runs at a time, each in a process (default: one less than there are cores, two at least). */
  readonly processes?: number;
  readonly signal?: AbortSignal;
  /** Told of each run: how many are there, of how many, and what was just made. */
  readonly onRun?: (done: number, all: number, record: RunRecord) => void;
  /** Told of each run that failed, when it did: others go on. */
  readonly onFailure?: (error: DgateError) => void;
}

/**
 * Makes the runs of an experiment that its file does not have yet, and gives all. One that is stopped goes on where it was: every run is on disk as soon
 * as it is over.
 *
 * @throws DgateError as `readRecords` and `openRecords`; what `measure` threw first, with its setup, when all other runs are made, or when
 *   none can be; the reason of the signal
 */
export async function runExperiment(experiment: Experiment, options: RunOptions): Promise<readonly Run[]> {
  const { file, backend, signal, onRun } = options;
  const setups = experiment.setups(options);
  let records = new Map(await readRecords(file));
  const missing = (): readonly Setup[] =>
    setups.filter((setup) => {
      const record = records.get(runHash(experiment, setup, backend));
      return !record || (experiment.isAbsent?.(record.result) ?? false);
    });
  if (missing().length > 0) {
    const close = await openRecords(file);
    try {
      // Another process may have made some until now.
      records = new Map(await readRecords(file));
      const left = missing();
      let done = setups.length - left.length;
      await inProcesses(experiment, left, { ...options, someAreThere: done > 0 }, async (record) => {
        const known = records.get(record.hash);
        if (!known || !isDeepStrictEqual(known.result, record.result)) await appendRecord(file, record);
        records.set(record.hash, record);
        done += 1;
        onRun?.(done, setups.length, record);
      });
    } finally {
      await close();
    }
  }
  signal?.throwIfAborted();
  return setups.map((setup) => records.get(runHash(experiment, setup, backend))!);
}

async function inProcesses(
  experiment: Experiment,
  setups: readonly Setup[],
  {
    backend,
    processes = Math.max(2, availableParallelism() - 1),
    signal,
    onFailure,
    someAreThere,
  }: RunOptions & { readonly someAreThere: boolean },
  onRecord: (record: RunRecord) => Promise<void>,
): Promise<void> {
  if (setups.length === 0) return;
  const count = experiment.alone ? 1 : Math.min(processes, setups.length);
  const pool = new Tinypool({
    runtime: "child_process",
    filename: fileURLToPath(new URL("worker.ts", import.meta.url)),
    execArgv: ["--import", tsx, "--conditions=@dgate/source"],
    env: process.env as Record<string, string>, // as it is handed down; without it a worker has none
    minThreads: count,
    maxThreads: count,
  });
  const origin = provenance();
  const stop = new AbortController();
  const any = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  setMaxListeners(0, any); // one for each run that waits
  const failures: DgateError[] = [];
  let isHopeless = !someAreThere;
  const one = async (setup: Setup): Promise<void> => {
    const work = await runIn(pool, { experiment: experiment.name, setup, context: { backend } }, any);
    if (work === undefined) return;
    if (work instanceof DgateError) {
      failures.push(work);
      onFailure?.(work);
      if (isHopeless && failures.length === hopeless * count) {
        const rest = `the first ${failures.length} runs failed, the others of ${setups.length} were not tried`;
        stop.abort(failureOf(failures, rest));
      }
      return;
    }
    isHopeless = false;
    try {
      const { result, seconds } = work;
      await onRecord({
        hash: runHash(experiment, setup, backend),
        setup,
        result,
        backend,
        seconds,
        ...origin,
      });
    } catch (error) {
      // What cannot be written down need not be made.
      stop.abort(error);
    }
  };
  try {
    await Promise.all(setups.map(one));
  } finally {
    await pool.destroy();
  }
  any.throwIfAborted();
  if (failures.length > 0) throw failureOf(failures, `${failures.length} runs of ${setups.length} failed`);
}

/** Failures of each process after which no other run is tried, where none was ever made: something is missing that all need. */
const hopeless = 3;

const failureOf = (failures: readonly DgateError[], how: string): DgateError => {
  const first = failures[0]!;
  const text = failures.length > 1 ? `${first.message} (${how})` : first.message;
  return new DgateError(first.code, text, { cause: first });
};

/** What a run has come to, or why it has not; undefined if it was stopped. */
async function runIn(pool: Tinypool, job: Job, signal: AbortSignal): Promise<Work | DgateError | undefined> {
  try {
    return (await pool.run(job, { signal })) as Work; // what worker.ts gives
  } catch (cause) {
    if (signal.aborted) return undefined;
    // An error comes out of a process as a plain object.
    const { code = "CHECK", message } = cause as {
      readonly code?: DgateErrorCode;
      readonly message?: string;
    };
    return new DgateError(
      code,
      `${job.experiment}, ${JSON.stringify(job.setup)}: ${message ?? String(cause)}`,
      { cause },
    );
  }
}
