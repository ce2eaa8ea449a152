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
  /** The place where one failed, as long as it is shown. */
  readonly failed: Place | undefined;
  /** Runs a job; a failure is shown at its place. False if it failed or was given up. */
  readonly run: (
    place: Place,
    text: string,
    work: (tell: (job: Job) => void) => Promise<void>,
  ) => Promise<boolean>;
  /** Shows an error at a place; undefined takes it away. */
  readonly complain: (place: Place, error: unknown) => void;
  /** Gives the running job up, whatever comes of it, and says why at its place, or at the given one. */
  readonly giveUp: (why: string, place?: Place) => void;
  /** What a place shows of it. */
  readonly status: (place: Place) => JSX.Element;
}

const cancelled = "Cancelled.";

/** @param onCancel stops what is under way at a place */
export function useJobs<Place extends string>(onCancel: (place: Place) => void): Jobs<Place> {
  const [job, setJob] = useState<Job & { readonly place: Place }>();
  const [trouble, setTrouble] = useState<{ readonly place: Place; readonly text: string }>();
  // Of the job that is under way; what is told of others comes too late.
  const current = useRef(0);

  const run: Jobs<Place>["run"] = async (place, text, work) => {
    const own = ++current.current;
    const isOver = (): boolean => current.current !== own;
    setTrouble(undefined);
    setJob({ place, text });
    try {
      await work((told) => {
        if (!isOver()) setJob({ place, ...told });
      });
    } catch (error) {
      if (!isOver()) setTrouble({ place, text: adviceFor(error) });
      return false;
    } finally {
      if (!isOver()) {
        current.current += 1;
        setJob(undefined);
      }
    }
    return current.current === own + 1;
  };

  const giveUp: Jobs<Place>["giveUp"] = (why, place = job?.place) => {
    current.current += 1;
    setJob(undefined);
    if (place !== undefined) setTrouble({ place, text: why });
  };

  return {
    running: job?.place,
    failed: trouble?.place,
    run,
    complain: (place, error) =>
      setTrouble(
        error === undefined
          ? (before) => (before?.place === place ? undefined : before)
          : { place, text: adviceFor(error) },
      ),
    giveUp,
    status: (place) => (
      <>
        {job?.place === place && (
          <Progress text={job.text} value={job.part} onCancel={() => onCancel(place)} />
        )}
        {trouble?.place === place && <Notice bad={trouble.text !== cancelled}>{trouble.text}</Notice>}
      </>
    ),
  };
}
