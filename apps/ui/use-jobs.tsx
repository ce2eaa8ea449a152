import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { Notice, Progress } from "./controls.tsx";
import { adviceFor } from "./worker-errors.ts";

/** What is under way, in words. */
export interface Job {
  readonly text: string;
  /** From 0 to 1, where it can be told. */
  readonly part?: number | undefined;
}

/** The long jobs of a page, one at a time, each at a place of it. */
export interface Jobs<Place extends string> {
  /** The place of the job that is under way. */
  readonly running: Place | undefined;
  /** Whether an error, or that something was cancelled, is shown at a place. */
  readonly failed: (place: Place) => boolean;
  /** Runs a job; a failure is shown at its place, where the one before is taken away. False if it failed or was given up. */
  readonly run: (
    place: Place,
    text: string,
    work: (tell: (job: Job) => void) => Promise<void>,
  ) => Promise<boolean>;
  /** Shows an error at a place; undefined takes it away. */
  readonly complain: (place: Place, error: unknown) => void;
  /** Takes away what is shown at all places. */
  readonly forget: () => void;
  /** Gives the running job up, whatever comes of it, and says why where it runs: at the given place if none does. */
  readonly giveUp: (why: string, otherwise?: Place) => void;
  /** What a place shows of it. */
  readonly status: (place: Place) => JSX.Element;
}

const cancelled = "Cancelled.";

/** @param onCancel stops what is under way at a place */
export function useJobs<Place extends string>(onCancel: (place: Place) => void): Jobs<Place> {
  const [job, setJob] = useState<Job & { readonly place: Place }>();
  const [troubles, setTroubles] = useState<ReadonlyMap<Place, string>>(new Map());
  // Of the job that is under way; what is told of others comes too late.
  const current = useRef<{ readonly place: Place }>(undefined);

  const show = (place: Place, text: string | undefined): void =>
    setTroubles((before) => {
      const after = new Map(before);
      if (text === undefined) after.delete(place);
      else after.set(place, text);
      return after;
    });

  const run: Jobs<Place>["run"] = async (place, text, work) => {
    const own = { place };
    const isOver = (): boolean => current.current !== own;
    current.current = own;
    show(place, undefined);
    setJob({ place, text });
    try {
      await work((told) => {
        if (!isOver()) setJob({ place, ...told });
      });
      return !isOver();
    } catch (error) {
      if (!isOver()) show(place, adviceFor(error));
      return false;
    } finally {
      if (!isOver()) {
        current.current = undefined;
        setJob(undefined);
      }
    }
  };

  const giveUp: Jobs<Place>["giveUp"] = (why, otherwise) => {
    const place = current.current?.place ?? otherwise;
    current.current = undefined;
    setJob(undefined);
    if (place !== undefined) show(place, why);
  };

  return {
    running: job?.place,
    failed: (place) => troubles.has(place),
    run,
    complain: (place, error) => show(place, error === undefined ? undefined : adviceFor(error)),
    forget: () => setTroubles(new Map()),
    giveUp,
    status: (place) => {
      const trouble = troubles.get(place);
      return (
        <>
          {job?.place === place && (
            <Progress text={job.text} value={job.part} onCancel={() => onCancel(place)} />
          )}
          {trouble !== undefined && <Notice bad={trouble !== cancelled}>{trouble}</Notice>}
        </>
      );
    },
  };
}
