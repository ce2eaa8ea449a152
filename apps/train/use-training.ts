import { proxy, type Remote } from "comlink";
import { useRef, useState } from "preact/hooks";
import { short } from "../ui/format.ts";
import { runtimeJob } from "../ui/runtime-job.ts";
import { type Jobs, useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
import type { TrainWorker } from "./train-worker.ts";
import type { Controls, OwnDigits, PrunedSummary, TrainingMoment, TrainingSettings } from "./training.ts";

/** Parts of the page where something can be under way or go wrong. */
type Part = "train" | "prune";

/** A training of the page, what pruning left of it, and what can be done with them. */
export interface Training {
  readonly jobs: Jobs<Part>;
  readonly api: () => Remote<TrainWorker>;
  /** What computes, and why nothing faster does. */
  readonly device: string;
  readonly moments: readonly TrainingMoment[];
  readonly trained: boolean;
  readonly summary: PrunedSummary | undefined;
  /** Takes effect with the next step. */
  readonly control: (controls: Controls) => void;
  readonly train: (settings: TrainingSettings, own: OwnDigits) => Promise<void>;
  readonly prune: () => Promise<void>;
}

const startWorker = (): Worker =>
  new Worker(new URL("./train-worker.ts", import.meta.url), { type: "module" });

/** @param controls as they are set now */
export function useTraining(controls: Controls): Training {
  const [device, setDevice] = useState("");
  const [moments, setMoments] = useState<readonly TrainingMoment[]>([]);
  const [trained, setTrained] = useState(false);
  const [summary, setSummary] = useState<PrunedSummary>();
  /** The latest controls, and whether there is a training that takes them. */
  const latest = useRef({ controls, taken: false });
  latest.current.controls = controls;

  const { api, end } = useWorker<TrainWorker>(startWorker, ({ message }) => lose(message));
  const jobs = useJobs<Part>((part) => {
    if (part === "prune") return void api().cancelPrune();
    // A computation in the worker cannot be asked to stop.
    end();
    return lose("Cancelled.");
  });

  /** The worker is gone, and with it what was trained. */
  const lose = (why: string): void => {
    jobs.giveUp(why, "train");
    latest.current.taken = false;
    setTrained(false);
    setSummary(undefined);
  };
  const send = (): Promise<void> => api().control(latest.current.controls);
  const control = (next: Controls): void => {
    latest.current.controls = next;
    if (latest.current.taken) send().catch((error: unknown) => jobs.complain("train", error));
  };
  const train = async (settings: TrainingSettings, own: OwnDigits): Promise<void> => {
    jobs.forget();
    await jobs.run("train", "Starting tfjs and drawing digits", async (tell) => {
      setMoments([]);
      setSummary(undefined);
      setTrained(false);
      const found: TrainingMoment[] = [];
      const { epochs } = settings;
      const started = await api().begin(settings, latest.current.controls, own);
      setDevice([`Trains on ${started.device}.`, ...started.not.map((why) => `Not on ${why}.`)].join(" "));
      // They may have changed since it began.
      latest.current.taken = true;
      try {
        await send();
        await api().train(
          proxy((moment: TrainingMoment) => {
            found.push(moment);
            setMoments([...found]);
            const { epoch, lambda } = moment;
            const text = `Epoch ${Math.min(epochs, Math.floor(epoch) + 1)} of ${epochs}, λ = ${short(lambda)}`;
            tell({ text, part: epoch / epochs });
          }),
        );
      } finally {
        latest.current.taken = false;
      }
      setTrained(true);
    });
  };
  const prune = async (): Promise<void> => {
    const text = "Pruning, proving and measuring";
    await jobs.run("prune", text, async (tell) => {
      const onBytes = (loaded: number, total: number | undefined): void => {
        const job = runtimeJob(loaded, total);
        tell(loaded === total ? { text } : job);
      };
      setSummary(await api().prune(proxy(onBytes)));
    });
  };
  return { jobs, api, device, moments, trained, summary, control, train, prune };
}
