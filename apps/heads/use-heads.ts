import { proxy } from "comlink";
import { useRef, useState } from "preact/hooks";
import { type Jobs, useJobs } from "../ui/use-jobs.tsx";
import { type Candidate, useWorker } from "../ui/use-worker.ts";
import type {
  HeadNumbers,
  Importance,
  LearnMoment,
  LearnOutcome,
  LearnRequest,
  ModelFacts,
  ModelSource,
  RemovalOutcome,
} from "./heads.ts";
import type { HeadsWorker } from "./heads-worker.ts";
import type { LiveState } from "./live-panel.tsx";
import { opinions } from "./small-texts.ts";
import { useWatch } from "./use-watch.ts";

/** Where on the page something is under way or went wrong. */
type Place = "pick" | "heads" | "live" | "learn" | "remove";

/** A head by its layer and its place in it. */
export type HeadAt = readonly [layer: number, head: number];

/** A head as it is now. */
interface HeadState {
  readonly at: HeadAt;
  /** 0 if it is off. */
  readonly gate: number;
  readonly score: number;
}

/** The model of the page, its heads, and what can be done with them. */
export interface Heads {
  readonly jobs: Jobs<Place>;
  /** Nothing can be asked now: a job runs, or the model is gone with its worker. */
  readonly busy: boolean;
  /** The model is gone with its worker. */
  readonly lost: boolean;
  readonly source: ModelSource["kind"];
  readonly facts: ModelFacts | undefined;
  readonly gates: HeadNumbers;
  readonly heads: readonly HeadState[];
  /** How many are off. */
  readonly off: number;
  readonly measure: Importance | "learned";
  readonly scores: HeadNumbers | undefined;
  readonly text: string;
  readonly setText: (text: string) => void;
  readonly texts: string;
  readonly setTexts: (texts: string) => void;
  /** Whether the texts are other ones than the page had at first. */
  readonly hasOwnTexts: boolean;
  /** Undefined while there is no text. */
  readonly live: LiveState | undefined;
  /** Of the learning that is under way, else of the one that the gates come from. */
  readonly moments: readonly LearnMoment[];
  readonly learned: LearnOutcome | undefined;
  readonly removal: RemovalOutcome | undefined;
  /** Heads that are on and were removed, or are off and were not. */
  readonly turnedSince: number;
  /** Whether gates or weights were learned after the removal. */
  readonly learnedSince: boolean;
  readonly open: (source: ModelSource) => Promise<void>;
  readonly rank: (method: Importance | "learned") => Promise<void>;
  readonly turn: (heads: readonly HeadAt[], on: boolean) => Promise<void>;
  readonly learn: (request: Omit<LearnRequest, "texts">) => Promise<void>;
  readonly remove: () => Promise<void>;
  readonly zip: (tell: (part: number) => void) => Promise<Blob>;
}

const startWorker = (): Worker =>
  new Worker(new URL("./heads-worker.ts", import.meta.url), { type: "module" });

const firstText = "the plot is not bad, but the ending was dull.";
const firstTexts = opinions(300, 7)
  .map(({ text }) => text)
  .join("\n");

const linesOf = (texts: string): readonly string[] => texts.split("\n").filter((line) => line.trim() !== "");

export function useHeads(): Heads {
  const [source, setSource] = useState<ModelSource["kind"]>("built-in");
  const [facts, setFacts] = useState<ModelFacts>();
  const [lost, setLost] = useState(false);
  const [gates, setGates] = useState<HeadNumbers>([]);
  const [measure, setMeasure] = useState<Importance | "learned">("gradient");
  const [scores, setScores] = useState<HeadNumbers>();
  const [text, setText] = useState(firstText);
  const [texts, setTexts] = useState(firstTexts);
  /** Of the learning that is under way. */
  const [moments, setMoments] = useState<readonly LearnMoment[]>([]);
  const [finished, setFinished] = useState<readonly [LearnOutcome, readonly LearnMoment[]]>();
  const learned = finished?.[0];
  /** What was removed, and what had been learned before. */
  const [removed, setRemoved] = useState<readonly [RemovalOutcome, LearnOutcome | undefined]>();
  const removal = removed?.[0];

  const { api, another } = useWorker<HeadsWorker>(startWorker, ({ message }, ofPage) => {
    jobs.giveUp(ofPage ? `${message} The model is gone with it: open it again in step 1.` : message, "pick");
    if (!ofPage) return;
    opening.current?.drop();
    setLost(true);
  });
  const opening = useRef<Candidate<HeadsWorker>>(undefined);
  const jobs = useJobs<Place>((place) => {
    if (place !== "pick") return void api().cancel();
    // Neither a download nor a start can be asked to stop.
    opening.current?.drop();
    return jobs.giveUp("Cancelled.");
  });
  const busy = jobs.running !== undefined || lost;
  const lines = linesOf(texts);
  const live = useWatch(
    facts && !busy ? { model: facts, gates, text, texts } : undefined,
    (onNews) => api().watch(text, lines, proxy(onNews)),
    (error) => jobs.complain("live", error),
  );

  const open = async (chosen: ModelSource): Promise<void> => {
    // A worker of its own: the model before stays until this one is open, and its memory is free then.
    const own = another();
    opening.current = own;
    jobs.forget();
    const opened = await jobs.run("pick", "Starting", async (onJob) => {
      const found = await own.remote.open(chosen, proxy(onJob));
      own.keep();
      setLost(false);
      setSource(chosen.kind);
      setScores(undefined);
      setFinished(undefined);
      setRemoved(undefined);
      setGates(found.layers.map(({ heads }) => Array<number>(heads).fill(1)));
      if (found.task === "fill-mask") setText(`the film was ${found.mask ?? "[MASK]"}.`);
      setFacts(found);
    });
    if (opened) await rank("gradient");
    else own.drop();
  };

  const rank = async (method: Importance | "learned"): Promise<void> => {
    if (method === "learned") {
      setMeasure(method);
      setScores(learned!.scores);
      return;
    }
    await jobs.run("heads", "Importances", async (onJob) => {
      setMeasure(method);
      setScores(await api().importance(method, lines, proxy(onJob)));
    });
  };

  const turn = async (chosen: readonly HeadAt[], on: boolean): Promise<void> => {
    if (chosen.length > 0) setGates(await api().set(chosen, on));
  };

  const learn = async (request: Omit<LearnRequest, "texts">): Promise<void> => {
    setMoments([]);
    const found: LearnMoment[] = [];
    await jobs.run("learn", "Starting", async (onJob) => {
      const onMoment = (moment: LearnMoment): void => {
        found.push(moment);
        setMoments([...found]);
        onJob({ text: describe(moment, request.steps), part: moment.part });
      };
      const outcome = await api().learn({ ...request, texts: lines }, proxy(onMoment));
      setGates(outcome.gates);
      setFinished([outcome, found]);
      setMeasure("learned");
      setScores(outcome.scores);
    });
  };

  const remove = async (): Promise<void> => {
    await jobs.run("remove", "Removing", async (onJob) => {
      setRemoved(undefined);
      setRemoved([await api().prune(text, lines, proxy(onJob)), learned]);
    });
  };

  const heads = gates.flatMap((layer, at) =>
    layer.map((gate, head) => ({ at: [at, head] as const, gate, score: scores?.[at]?.[head] ?? 0 })),
  );
  return {
    jobs,
    busy,
    lost,
    source,
    facts,
    gates,
    heads,
    off: heads.filter(({ gate }) => gate === 0).length,
    measure,
    scores,
    text,
    setText,
    texts,
    setTexts,
    hasOwnTexts: texts !== firstTexts,
    live,
    moments: jobs.running === "learn" ? moments : (finished?.[1] ?? []),
    learned,
    removal,
    turnedSince: heads.filter(
      ({ at: [layer, head], gate }) => removal && (gate !== 0) !== removal.kept[layer]!.includes(head),
    ).length,
    learnedSince: removed !== undefined && removed[1] !== learned,
    open,
    rank,
    turn,
    learn,
    remove,
    zip: (tell) => api().zip(proxy(tell)),
  };
}

function describe({ text, step, loss, lambda }: LearnMoment, steps: number): string {
  if (step === 0 || loss === undefined) return text;
  return `${text}: step ${step} of ${steps}, loss ${loss.toPrecision(3)}${lambda ? `, λ = ${lambda.toPrecision(2)}` : ""}`;
}
