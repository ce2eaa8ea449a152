import { DgateError } from "@dgate/core";
import type { GateTable, HeadGates, PrunedTransformer } from "@dgate/transformers";
import { inTurns, median } from "../ui/in-turns.ts";
import { pause, stopIfAborted } from "../ui/until.ts";
import type { Job } from "../ui/use-jobs.tsx";
import type {
  HeadNumbers,
  Importance,
  Latency,
  LearnMoment,
  LearnOutcome,
  LearnRequest,
  LiveNews,
  ModelFacts,
  ModelSource,
  RemovalOutcome,
  Variant,
} from "./heads.ts";
import { type Answers, answersOf, type KnownText, qualityOf, type TextPipeline } from "./measures.ts";
import { openModel, type OpenedModel } from "./open-model.ts";
import { type Answer, answerTo, together } from "./predictions.ts";
import { opinionOf, opinions } from "./small-texts.ts";
import { Turns } from "./turns.ts";
import { openWritten } from "./written-files.ts";

/** Opinions that the built-in model is tested on. */
const freshCount = 400;
const freshSeed = 2_000_000;
/** Of pasted texts every so many are held out, so many at most. */
const heldOutEvery = 5;
const heldOutMost = 100;
const fewestTexts = 10;
/** Texts that importances are computed from. */
const importanceTexts = 64;

/** Where sessions of a pipeline lie. */
type Sessions = Record<string, unknown>;

/** Texts that were given, and what is held out of them. */
interface Split {
  readonly training: readonly KnownText[];
  readonly heldOut: readonly KnownText[];
}

/** A model with its gates. Its methods run one after the other; `cancel` ends the one that runs. */
export class HeadsSession {
  readonly #opened: OpenedModel;
  readonly #pipeline: TextPipeline;
  readonly #sessions: Sessions;
  readonly #dense: Sessions;
  readonly #gated: Sessions;
  /** Value of each gate when its head is on. */
  #values: Float64Array[];
  #files: ReadonlyMap<string, Uint8Array> | undefined;
  readonly #turns = new Turns();
  #denseAnswers: { readonly texts: string; readonly answers: Answers | undefined } | undefined;
  #denseAnswer: { readonly text: string; readonly answer: Answer } | undefined;

  private constructor(opened: OpenedModel, dense: Sessions, gated: Sessions) {
    const { pipeline } = opened.gates;
    this.#opened = opened;
    // It is one of transformers.js, of a task for texts.
    this.#pipeline = pipeline as unknown as TextPipeline;
    this.#sessions = pipeline.model.sessions!;
    this.#dense = dense;
    this.#gated = gated;
    this.#values = opened.gates.heads.values;
  }

  /**
   * Opens a model, and for the built-in one trains it first.
   *
   * @throws DgateError as `openHeadGates`; `IO` for a folder that is none of a model, a hub that cannot be reached
   */
  static async open(source: ModelSource, onJob: (job: Job) => void): Promise<HeadsSession> {
    const opened = await openModel(source, onJob);
    // Version 4 keeps its sessions here.
    const sessions: Sessions = opened.gates.pipeline.model.sessions!;
    const dense = { ...sessions };
    await opened.gates.attach();
    return new HeadsSession(opened, dense, { ...sessions });
  }

  /** What was opened; of the built-in model with its accuracy on fresh sentences. */
  facts(): Promise<ModelFacts> {
    return this.#turns.alone(async () => {
      const { facts, builtIn } = this.#opened;
      if (!builtIn) return facts;
      const texts = opinions(freshCount, freshSeed);
      const answers = await this.#answers("dense", texts);
      const right = texts.filter(({ label }, i) => answers!.rows[i]![0] === label).length;
      return { ...facts, accuracy: { right, of: texts.length } };
    });
  }

  get #heads(): GateTable {
    return this.#opened.gates.heads;
  }

  get gates(): HeadNumbers {
    return this.#heads.values.map((layer) => [...layer]);
  }

  /** Turns heads on or off: acts on the next run. */
  set(heads: readonly (readonly [layer: number, head: number])[], on: boolean): HeadNumbers {
    for (const [layer, head] of heads) this.#heads.set(layer, head, on ? this.#values[layer]![head]! : 0);
    return this.gates;
  }

  importance(method: Importance, lines: readonly string[], onJob: (job: Job) => void): Promise<HeadNumbers> {
    return this.#turns.alone(async (signal) => {
      const texts = method === "l2" ? [] : this.#split(lines).training.map(({ text }) => text);
      const scores = await this.#opened.gates.importance(method, texts, {
        examples: importanceTexts,
        signal,
        onProgress: ({ step, steps }) =>
          onJob({ text: `Importances: text ${step} of ${steps}`, part: step / steps }),
      });
      return this.#byLayer(scores);
    });
  }

  /**
   * Tells what the model makes of a text with the heads that are on, how near it is to the dense model on texts held out, and how long a run
   * takes, as soon as each is known. The next call, of this or of another method, ends it.
   */
  watch(text: string, lines: readonly string[], onNews: (news: LiveNews) => void): Promise<void> {
    return this.#turns.watch(async (step) => {
      onNews({ prediction: together(await this.#denseAnswerTo(text), await this.#answerTo(text)) });
      onNews({ quality: await this.#liveQuality(lines, step) });
      const run = await this.#runOf(text);
      const times = await inTurns([() => this.#with("dense", run), () => this.#with("gated", run)], {
        budgetMs: 1200,
        fewest: 7,
        most: 60,
        step,
      });
      onNews({ latency: latencyOf(times) });
    });
  }

  async #liveQuality(
    lines: readonly string[],
    step: () => Promise<void>,
  ): Promise<NonNullable<LiveNews["quality"]>> {
    const found = this.#textsOf(lines).length;
    if (!this.#opened.builtIn && found < fewestTexts) {
      return { missing: `Step 3 has ${found} texts: from ${fewestTexts} on some are held out.` };
    }
    const heldOut = this.#heldOut(lines);
    const dense = await this.#denseAnswersTo(heldOut, step);
    const now = dense && (await this.#answers("gated", heldOut, step));
    return now
      ? qualityOf(dense, now, heldOut)
      : { missing: "This task has no measure that needs the text alone." };
  }

  /** @throws DgateError as `HeadGates.learn`; nothing is changed then */
  learn(
    { texts, keep, steps, train }: LearnRequest,
    onMoment: (moment: LearnMoment) => void,
  ): Promise<LearnOutcome> {
    return this.#turns.alone(async (signal) => {
      const { training, heldOut } = this.#split(texts);
      const { gates } = this.#opened;
      const report = await gates.learn(
        training.map(({ text }) => text),
        {
          target: { heads: keep },
          steps,
          train,
          ...(this.#opened.builtIn && train !== "gates" && { learningRate: 1e-3 }),
          heldOut: heldOut.map(({ text }) => text),
          latency: false,
          signal,
          onProgress: ({ phase, step, steps: all, loss, lambda, active }) =>
            onMoment({
              text: phases[phase],
              part: step / all,
              step,
              ...(loss !== undefined && { loss }),
              ...(lambda !== undefined && { lambda }),
              ...(active !== undefined && { active }),
            }),
        },
      );
      this.#values = gates.heads.values.map((layer) => layer.map((value) => (value === 0 ? 1 : value)));
      return {
        gates: this.gates,
        scores: this.#byLayer(report.scores),
        seconds: report.seconds,
        examples: report.data.examples,
        heldOut: report.data.heldOut,
        warnings: report.warnings,
      };
    });
  }

  /** Removes the heads that are off, opens what comes out with `pipeline()`, and compares. */
  prune(text: string, lines: readonly string[], onJob: (job: Job) => void): Promise<RemovalOutcome> {
    return this.#turns.alone(async (signal) => {
      const { gates, facts } = this.#opened;
      onJob({ text: "Removing heads, and proving the result equal to the masked model", part: undefined });
      await pause();
      const small = await gates.prune({ signal });
      const files = await small.modelFiles({
        signal,
        onProgress: ({ phase, what }) =>
          onJob({ text: `${phase === "quantize" ? "Quantizing" : "Writing"} ${what}`, part: undefined }),
      });
      this.#files = files;
      const { variants, rounds, notes } = await this.#compare(files, text, lines, { signal, onJob });
      const sizes = (side: "before" | "after", what: "parameters" | "macs"): number =>
        small.files.reduce((sum, file) => sum + file[side][what], 0);
      return {
        kept: gates.heads.blocks.map(({ name, groups }) => [
          ...(small.kept.get(name) ?? Array.from({ length: groups }, (_, i) => i)),
        ]),
        parameters: [facts.parameters, sizes("after", "parameters")],
        macs: [sizes("before", "macs"), sizes("after", "macs")],
        dims: small.files[0]!.dims,
        variants,
        rounds,
        maxAbsDiff: largestDifference(small),
        notes: [...small.notes, ...notes],
        files: [...files].map(([path, { length }]) => [path, length]),
      };
    });
  }

  /** The files of the pruned model's folder. */
  get files(): ReadonlyMap<string, Uint8Array> {
    if (this.#files) return this.#files;
    throw new DgateError("OPTION", "Nothing has been removed yet.");
  }

  /** Ends what runs, if it can be ended. */
  cancel(): void {
    this.#turns.cancel();
  }

  /** The dense model and the written files side by side, each as `pipeline()` opens it. */
  async #compare(
    files: ReadonlyMap<string, Uint8Array>,
    text: string,
    lines: readonly string[],
    { signal, onJob }: { readonly signal: AbortSignal; readonly onJob: (job: Job) => void },
  ): Promise<Pick<RemovalOutcome, "variants" | "rounds" | "notes">> {
    const { facts } = this.#opened;
    const step =
      (job: string) =>
      async (part: number): Promise<void> => {
        onJob({ text: job, part });
        await pause();
        stopIfAborted(signal);
      };
    const pruned = await openWritten(this.#opened, files, onJob);
    try {
      const heldOut = this.#heldOut(lines);
      const dense = await this.#denseAnswersTo(heldOut, step("Comparing: dense"));
      const found: Omit<Variant, "latencyMs">[] = [
        {
          name: `dense, ${facts.dtype}`,
          bytes: facts.bytes,
          quality: dense && qualityOf(dense, dense, heldOut),
        },
      ];
      for (const { dtype, bytes, run } of pruned.opened) {
        const answers =
          dense && (await answersOf(run, heldOut, this.#classifies, step(`Comparing: pruned, ${dtype}`)));
        found.push({
          name: `pruned, ${dtype}`,
          bytes,
          quality: answers && qualityOf(dense, answers, heldOut),
        });
      }
      const own = await this.#runOf(text);
      const others = await Promise.all(pruned.opened.map(({ run }) => this.#runOf(text, run)));
      const times = await inTurns([() => this.#with("dense", own), ...others], {
        budgetMs: 4000,
        fewest: 10,
        most: 200,
        step: step("Running dense and pruned in turns"),
      });
      const { medians, rounds } = latencyOf(times);
      return {
        variants: found.map((variant, i) => ({ ...variant, latencyMs: medians[i]! })),
        rounds,
        notes: pruned.notes,
      };
    } finally {
      for (const { dispose } of pruned.opened) await dispose();
    }
  }

  #use(form: "dense" | "gated"): void {
    Object.assign(this.#sessions, form === "dense" ? this.#dense : this.#gated);
  }

  #with<T>(form: "dense" | "gated", run: () => T): T {
    this.#use(form);
    return run();
  }

  get #classifies(): boolean {
    const { task } = this.#opened.facts;
    return task === "text-classification" || task === "sentiment-analysis";
  }

  #answers(
    form: "dense" | "gated",
    texts: readonly KnownText[],
    step = async (): Promise<void> => {},
  ): Promise<Answers | undefined> {
    return this.#with(form, () => answersOf(this.#pipeline, texts, this.#classifies, step));
  }

  async #denseAnswersTo(
    texts: readonly KnownText[],
    step: (part: number) => Promise<void>,
  ): Promise<Answers | undefined> {
    const key = texts.map(({ text }) => text).join("\n");
    if (this.#denseAnswers?.texts !== key) {
      this.#denseAnswers = {
        texts: key,
        answers: await this.#with("dense", () => answersOf(this.#pipeline, texts, this.#classifies, step)),
      };
    }
    return this.#denseAnswers.answers;
  }

  #answerTo(text: string): Promise<Answer> {
    return this.#with("gated", () => answerTo(this.#pipeline, this.#opened.facts.task, text));
  }

  async #denseAnswerTo(text: string): Promise<Answer> {
    if (this.#denseAnswer?.text !== text) {
      this.#denseAnswer = {
        text,
        answer: await this.#with("dense", () => answerTo(this.#pipeline, this.#opened.facts.task, text)),
      };
    }
    return this.#denseAnswer.answer;
  }

  /** One run of the model on a text; where that is not defined by the text alone, one call of the pipeline. */
  async #runOf(text: string, run: TextPipeline = this.#pipeline): Promise<() => Promise<unknown>> {
    const { task } = this.#opened.facts;
    if (/generation|summarization|translation/.test(task)) return () => answerTo(run, task, text);
    const inputs = await run.tokenizer([text], { truncation: true });
    return () => run.model(inputs);
  }

  /** @throws DgateError `DATA` for too few texts */
  #split(lines: readonly string[]): Split {
    const texts = this.#textsOf(lines);
    if (texts.length < fewestTexts) {
      throw new DgateError(
        "DATA",
        `There are ${texts.length} texts in step 3; give ${fewestTexts} at least, one a line, better some hundreds.`,
      );
    }
    if (this.#opened.builtIn) return { training: texts, heldOut: this.#heldOut(lines) };
    const heldOut = texts.filter((_, i) => i % heldOutEvery === 0).slice(0, heldOutMost);
    return { training: texts.filter((text) => !heldOut.includes(text)), heldOut };
  }

  #textsOf(lines: readonly string[]): readonly KnownText[] {
    const { gates, builtIn } = this.#opened;
    return lines.flatMap((line) => knownText(line, builtIn, gates));
  }

  /** For the built-in model there are always some. */
  #heldOut(lines: readonly string[]): readonly KnownText[] {
    return this.#opened.builtIn ? opinions(freshCount, freshSeed) : this.#split(lines).heldOut;
  }

  #byLayer(scores: ReadonlyMap<string, ArrayLike<number>>): HeadNumbers {
    return this.#heads.blocks.map(({ name }) => Array.from(scores.get(name) ?? []));
  }
}

const phases = {
  encode: "Reading the texts",
  score: "Scoring the dense model",
  gate: "Learning which heads matter",
  finish: "Training what stays",
  measure: "Pruning and scoring",
} as const;

const latencyOf = (times: readonly (readonly number[])[]): Latency => ({
  medians: times.map(median),
  rounds: times[0]!.length,
});

/** A line of the page: a text, after a tab perhaps its class. */
function knownText(line: string, builtIn: boolean, { pipeline }: HeadGates): readonly KnownText[] {
  const [text = "", given] = line.trim().split("\t");
  if (text === "") return [];
  const ids = pipeline.model.config["label2id"];
  const named =
    given !== undefined && typeof ids === "object"
      ? (ids as Readonly<Record<string, unknown>>)[given.trim()]
      : undefined;
  const label = typeof named === "number" ? named : builtIn ? opinionOf(text) : undefined;
  return [{ text, ...(label !== undefined && { label }) }];
}

const largestDifference = ({ files }: PrunedTransformer): number =>
  Math.max(0, ...files.map(({ pruned }) => pruned?.verification.maxAbsDiff ?? 0));
