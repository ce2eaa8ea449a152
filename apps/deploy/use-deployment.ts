import { proxy } from "comlink";
import { useRef, useState } from "preact/hooks";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { runtimeJob } from "../ui/runtime-job.ts";
import { type Job, type Jobs, useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
import type { DeployWorker } from "./deploy-worker.ts";
import {
  type Measurement,
  type ModelFacts,
  type Place,
  placeNames,
  type PruneOutcome,
  type PruneRequest,
  usualKinds,
} from "./deployment.ts";

/** Parts of the page where something can be under way or go wrong. */
type Part = "open" | "prune" | "measure";

/** The models of the page, what was done with them, and what can be. */
export interface Deployment {
  readonly models: readonly ModelFacts[];
  readonly request: PruneRequest;
  readonly setRequest: (request: PruneRequest) => void;
  readonly outcome: PruneOutcome | undefined;
  /** Whether `request` has changed since `outcome`. */
  readonly changedSince: boolean;
  readonly measured: Readonly<Partial<Record<Place, Measurement>>>;
  readonly jobs: Jobs<Part>;
  readonly open: (files: readonly DroppedFile[]) => Promise<void>;
  readonly openExample: () => Promise<void>;
  readonly prune: () => Promise<void>;
  readonly measure: (place: Place) => Promise<void>;
}

const startWorker = (): Worker =>
  new Worker(new URL("./deploy-worker.ts", import.meta.url), { type: "module" });

/** Models that are open, with the files that they were read from. */
interface Opened {
  readonly files: readonly DroppedFile[];
  readonly models: readonly ModelFacts[];
}

const nothing: Opened = { files: [], models: [] };

const fetching = (tell: (job: Job) => void) =>
  proxy((loaded: number, total: number | undefined) => tell(runtimeJob(loaded, total)));

/** Two requests with one text ask for the same; kinds are in the order in which they were chosen. */
const textOf = ({ kinds, ...rest }: PruneRequest): string => JSON.stringify([rest, kinds.toSorted()]);

/** What is pruned lies in the page: a worker that ends takes nothing along that its successor cannot read anew. */
export function useDeployment(): Deployment {
  const [{ files, models }, setOpened] = useState(nothing);
  const [request, setRequest] = useState<PruneRequest>({
    budget: "macs",
    fraction: 0.5,
    criterion: "l2",
    kinds: usualKinds,
  });
  const [pruned, setPruned] = useState<{ readonly outcome: PruneOutcome; readonly request: PruneRequest }>();
  const outcome = pruned?.outcome;
  const [measured, setMeasured] = useState<Deployment["measured"]>({});
  const reopening = useRef(false);

  const { api, end } = useWorker<DeployWorker>(startWorker, ({ message }) => lose(message));
  const jobs = useJobs<Part>((part) => {
    if (part === "measure") return void api().cancel();
    // A computation in the worker cannot be asked to stop.
    end();
    return lose("Cancelled.");
  });

  /** The worker is gone: another one opens the files anew, unless that is what went wrong. */
  const lose = (why: string): void => {
    jobs.giveUp(why, "open");
    if (files.length === 0) return;
    if (reopening.current) close();
    else void reopen();
  };
  const close = (): void => {
    reopening.current = false;
    setOpened(nothing);
    setPruned(undefined);
    setMeasured({});
  };
  const reopen = async (): Promise<void> => {
    reopening.current = true;
    const done = await jobs.run("open", "Opening the model again", async () => {
      await api().open(files);
    });
    if (!done) close();
    reopening.current = false;
  };

  const openFrom = async (text: string, source: () => Promise<readonly DroppedFile[]>): Promise<void> => {
    await jobs.run("open", text, async () => {
      const chosen = await source();
      const found = await api().open(chosen);
      jobs.forget();
      setOpened({ files: chosen, models: found });
      setPruned(undefined);
      setMeasured({});
      const there = found[0]!.sites.filter(({ prunable }) => prunable > 0).map(({ kind }) => kind);
      setRequest({ ...request, kinds: usualKinds.filter((kind) => there.includes(kind)) });
    });
  };
  const prune = async (): Promise<void> => {
    await jobs.run("prune", "Pruning, and proving the result equal to the masked model", async (tell) => {
      const found = await api().prune(request, fetching(tell));
      setPruned({ outcome: found, request });
      setMeasured({});
    });
  };
  const measure = async (place: Place): Promise<void> => {
    const text = `Running both on ${placeNames[place]} in turns`;
    await jobs.run("measure", text, async (tell) => {
      const onProgress = proxy((part: number) => tell({ text, part }));
      const result = await api().measure(place, outcome?.file, fetching(tell), onProgress);
      setMeasured((before) => ({ ...before, [place]: result }));
    });
  };
  return {
    models,
    request,
    setRequest,
    outcome,
    changedSince: pruned !== undefined && textOf(pruned.request) !== textOf(request),
    measured,
    jobs,
    open: (chosen) => openFrom("Reading", async () => chosen),
    openExample: () => openFrom("Making the example", async () => [await api().example()]),
    prune,
    measure,
  };
}
