import { proxy } from "comlink";
import { useEffect, useRef, useState } from "preact/hooks";
import { Choice, Stats } from "../ui/controls.tsx";
import { bytes, count, percent } from "../ui/format.ts";
import { showPage } from "../ui/shell.tsx";
import { useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
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
import type { HeadsWorker } from "./heads-worker.ts";
import { HeatMap } from "./heat-map.tsx";
import { LearnSection } from "./learn-section.tsx";
import { LivePanel, type LiveState } from "./live-panel.tsx";
import { PickSection } from "./pick-section.tsx";
import { RemovalSection } from "./removal-section.tsx";
import { opinions } from "./small-texts.ts";

/** Where on the page something is under way or went wrong. */
type Place = "pick" | "heads" | "live" | "learn" | "remove";

const startWorker = (): Worker =>
  new Worker(new URL("./heads-worker.ts", import.meta.url), { type: "module" });

const firstText = "the plot is not bad, but the ending was dull.";
const firstTexts = opinions(300, 7)
  .map(({ text }) => text)
  .join("\n");
/** Typing settles before the model is asked. */
const settleMs = 250;
const noNews: LiveState = { news: {}, fresh: new Set() };

const linesOf = (texts: string): readonly string[] => texts.split("\n").filter((line) => line.trim() !== "");

function HeadsPage() {
  const { api, end } = useWorker<HeadsWorker>(startWorker, ({ message }) => giveUp(message, "pick"));
  const cancel = (place: Place): void => {
    if (place === "pick") {
      // Neither a download nor a start can be asked to stop.
      end();
      giveUp("Cancelled.");
    } else void api().cancel();
  };
  const { running, failed, run, giveUp, complain, status } = useJobs<Place>(cancel);
  const busy = running !== undefined;
  const [source, setSource] = useState<ModelSource["kind"]>("built-in");
  const [facts, setFacts] = useState<ModelFacts>();
  const [gates, setGates] = useState<HeadNumbers>([]);
  const [measure, setMeasure] = useState<Importance | "learned">("gradient");
  const [scores, setScores] = useState<HeadNumbers>();
  const [text, setText] = useState(firstText);
  const [texts, setTexts] = useState(firstTexts);
  const [live, setLive] = useState<LiveState>(noNews);
  const [moments, setMoments] = useState<readonly LearnMoment[]>([]);
  const [learned, setLearned] = useState<LearnOutcome>();
  const [removal, setRemoval] = useState<RemovalOutcome>();
  const open = async (chosen: ModelSource): Promise<void> => {
    // A worker of its own: the memory of the model before is free then.
    end();
    setSource(chosen.kind);
    setFacts(undefined);
    setScores(undefined);
    setLive(noNews);
    setMoments([]);
    setLearned(undefined);
    setRemoval(undefined);
    const opened = await run("pick", "Starting", async (onJob) => {
      const found = await api().open(chosen, proxy(onJob));
      setGates(found.layers.map(({ heads }) => Array<number>(heads).fill(1)));
      if (found.task === "fill-mask") setText("the film was [MASK].");
      setFacts(found);
    });
    if (opened) await rank("gradient");
  };

  const rank = async (method: Importance | "learned"): Promise<void> => {
    if (method === "learned") {
      setMeasure(method);
      setScores(learned!.scores);
      return;
    }
    await run("heads", "Importances", async (onJob) => {
      setMeasure(method);
      setScores(await api().importance(method, linesOf(texts), proxy(onJob)));
    });
  };

  const turn = async (
    heads: readonly (readonly [layer: number, head: number])[],
    on: boolean,
  ): Promise<void> => {
    if (heads.length > 0) setGates(await api().set(heads, on));
  };
  const toggle = (layer: number, head: number): Promise<void> =>
    turn([[layer, head]], gates[layer]![head] === 0);

  const learn = async (request: Omit<LearnRequest, "texts">): Promise<void> => {
    setMoments([]);
    const found: LearnMoment[] = [];
    await run("learn", "Starting", async (onJob) => {
      const onMoment = (moment: LearnMoment): void => {
        found.push(moment);
        setMoments([...found]);
        onJob({ text: describe(moment, request.steps), part: moment.part });
      };
      const outcome = await api().learn({ ...request, texts: linesOf(texts) }, proxy(onMoment));
      setGates(outcome.gates);
      setLearned(outcome);
      setMeasure("learned");
      setScores(outcome.scores);
    });
  };

  const remove = (): Promise<boolean> =>
    run("remove", "Removing", async (onJob) => {
      setRemoval(undefined);
      setRemoval(await api().prune(text, linesOf(texts), proxy(onJob)));
    });

  useWatch({ facts, gates, text, texts, busy }, api, setLive, (error) => complain("live", error));

  const heads = gates.flatMap((layer, at) =>
    layer.map((gate, head) => ({ at: [at, head] as const, gate, score: scores?.[at]?.[head] ?? 0 })),
  );
  const off = heads.filter(({ gate }) => gate === 0).length;
  return (
    <>
      <PickSection disabled={busy} onPick={(chosen) => void open(chosen)}>
        {status("pick")}
      </PickSection>
      {facts && (
        <section class="card" aria-labelledby="heads">
          <h2 id="heads">2. Turn heads off</h2>
          <Stats
            of={[
              ["model", facts.name],
              ["task", facts.task],
              ["parameters", count(facts.parameters)],
              [`ONNX, ${facts.dtype}`, bytes(facts.bytes)],
              ["heads on", `${heads.length - off} of ${heads.length}`],
              ...(facts.accuracy
                ? [
                    [
                      "right on fresh sentences",
                      `${percent(facts.accuracy.right / facts.accuracy.of)} of ${facts.accuracy.of}`,
                    ] as const,
                  ]
                : []),
            ]}
          />
          <div class="fields">
            <Choice
              label="Importance of a head"
              value={measure}
              disabled={busy}
              options={[
                ["gradient", "|∂ divergence/∂ gate| on the texts below"],
                ["wanda", "weights × inputs on the texts below"],
                ["l2", "norm of its weights"],
                ...(learned ? [["learned", "as learned in step 3"] as const] : []),
              ]}
              onChange={(method) => void rank(method)}
            />
            <div class="row">
              <button
                type="button"
                disabled={busy || off === 0}
                onClick={() =>
                  void turn(
                    heads.map(({ at }) => at),
                    true,
                  )
                }
              >
                All on
              </button>
              <button
                type="button"
                disabled={busy || !scores}
                onClick={() => void turn(weakest(heads), false)}
              >
                Weaker half off
              </button>
              {failed === "heads" && (
                <button type="button" disabled={busy} onClick={() => void rank(measure)}>
                  Compute again
                </button>
              )}
            </div>
          </div>
          {status("heads")}
          <HeatMap
            layers={facts.layers}
            scores={scores}
            gates={gates}
            disabled={busy}
            onToggle={(layer, head) => void toggle(layer, head)}
          />
          <p class="hint">
            The stronger the colour, the more important; percentages are of the largest. Layers and heads are
            numbered as in <code>gates.set(layer, head, 0)</code>.
          </p>
          {facts.ungated.length > 0 && (
            <details>
              <summary>Attention whose heads have no gates ({facts.ungated.length})</summary>
              <ul>
                {facts.ungated.map(([place, reason]) => (
                  <li key={place}>
                    {place}: {reason}
                  </li>
                ))}
              </ul>
            </details>
          )}
          <div class="field">
            <label for="own-text">Your text</label>
            <input
              id="own-text"
              type="text"
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </div>
          {status("live")}
          <LivePanel state={live} />
        </section>
      )}
      {facts && (
        <LearnSection
          key={`${source} ${facts.name}`}
          texts={texts}
          onTexts={setTexts}
          builtIn={source === "built-in"}
          heads={heads.length}
          layers={facts.layers.length}
          disabled={busy}
          moments={moments}
          outcome={running === "learn" ? undefined : learned}
          onLearn={(request) => void learn(request)}
        >
          {status("learn")}
        </LearnSection>
      )}
      {facts && (
        <RemovalSection
          facts={facts}
          off={off}
          disabled={busy}
          outcome={removal}
          onRemove={() => void remove()}
          zip={() => api().zip()}
        >
          {status("remove")}
        </RemovalSection>
      )}
    </>
  );
}

interface Watched {
  readonly facts: ModelFacts | undefined;
  readonly gates: HeadNumbers;
  readonly text: string;
  readonly texts: string;
  readonly busy: boolean;
}

/** Asks the model anew whenever heads or texts change and nothing else is under way. */
function useWatch(
  { facts, gates, text, texts, busy }: Watched,
  api: ReturnType<typeof useWorker<HeadsWorker>>["api"],
  setLive: (change: LiveState | ((before: LiveState) => LiveState)) => void,
  /** Is told undefined when it asks anew. */
  onError: (error: unknown) => void,
): void {
  const turn = useRef(0);
  useEffect(() => {
    const own = ++turn.current;
    if (!facts || busy || text.trim() === "") return undefined;
    setLive(({ news }) => ({ news, fresh: new Set() }));
    onError(undefined);
    const onNews = (news: LiveNews): void => {
      if (own !== turn.current) return;
      // What is told are the keys that are there.
      const told = Object.keys(news) as (keyof LiveNews)[];
      setLive((before) => ({
        news: { ...before.news, ...news },
        fresh: new Set([...before.fresh, ...told]),
      }));
    };
    const timer = setTimeout(() => {
      api()
        .watch(text, linesOf(texts), proxy(onNews))
        .catch((error: unknown) => own === turn.current && onError(error));
    }, settleMs);
    return () => clearTimeout(timer);
  }, [facts, gates, text, texts, busy]);
}

/** The half of the heads that are on whose importance is least. */
const weakest = (
  heads: readonly { readonly at: readonly [number, number]; readonly gate: number; readonly score: number }[],
): readonly (readonly [number, number])[] => {
  const on = heads.filter(({ gate }) => gate !== 0).toSorted((a, b) => a.score - b.score);
  return on.slice(0, on.length >> 1).map(({ at }) => at);
};

function describe({ text, step, loss, lambda }: LearnMoment, steps: number): string {
  if (step === 0 || loss === undefined) return text;
  return `${text}: step ${step} of ${steps}, loss ${loss.toPrecision(3)}${lambda ? `, λ = ${lambda.toPrecision(2)}` : ""}`;
}

showPage(
  "heads",
  "Prune the heads of a transformer",
  "Open a model of transformers.js in this page, see what its attention heads are worth, turn them off, learn which can go, remove them, and take the smaller model with you.",
  HeadsPage,
);
