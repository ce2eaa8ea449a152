import { expose } from "comlink";
import { crossing } from "../ui/worker-errors.ts";
import { zipped } from "../ui/zipped.ts";
import type {
  HeadNumbers,
  Importance,
  LearnMoment,
  LearnOutcome,
  LearnRequest,
  LiveNews,
  ModelFacts,
  ModelSource,
  RemovalOutcome,
} from "./heads.ts";
import type { Job } from "../ui/use-jobs.tsx";
import { HeadsSession } from "./heads-session.ts";

/** What the page asks of the worker that has the model. */
export type HeadsWorker = typeof worker;

let session: HeadsSession | undefined;

const current = (): HeadsSession => {
  if (session) return session;
  throw new Error("unreachable: the page asks for heads before a model is open");
};

const worker = {
  open: crossing(async (source: ModelSource, onJob: (job: Job) => void): Promise<ModelFacts> => {
    session = await HeadsSession.open(source, onJob);
    return session.facts();
  }),
  set: crossing(
    async (heads: readonly (readonly [number, number])[], on: boolean): Promise<HeadNumbers> =>
      current().set(heads, on),
  ),
  importance: crossing(
    async (method: Importance, texts: readonly string[], onJob: (job: Job) => void): Promise<HeadNumbers> =>
      current().importance(method, texts, onJob),
  ),
  watch: crossing(
    async (text: string, texts: readonly string[], onNews: (news: LiveNews) => void): Promise<void> =>
      current().watch(text, texts, onNews),
  ),
  learn: crossing(
    async (request: LearnRequest, onMoment: (moment: LearnMoment) => void): Promise<LearnOutcome> =>
      current().learn(request, onMoment),
  ),
  prune: crossing(
    async (text: string, texts: readonly string[], onJob: (job: Job) => void): Promise<RemovalOutcome> =>
      current().prune(text, texts, onJob),
  ),
  zip: crossing(async (onPart: (part: number) => void): Promise<Blob> => zipped(current().files, onPart)),
  cancel: crossing(async (): Promise<void> => current().cancel()),
};

expose(worker);
