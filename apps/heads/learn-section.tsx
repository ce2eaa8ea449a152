import * as Plot from "@observablehq/plot";
import { useId, useMemo, useState } from "preact/hooks";
import { Chart } from "../ui/chart.tsx";
import { Choice, Notice, Slider } from "../ui/controls.tsx";
import { percent, short } from "../ui/format.ts";
import type { LearnMoment, LearnOutcome, LearnRequest } from "./heads.ts";

interface LearnSectionProps {
  readonly texts: string;
  readonly onTexts: (texts: string) => void;
  /** Whether the reader has put them there. */
  readonly hasOwnTexts: boolean;
  readonly builtIn: boolean;
  readonly heads: number;
  readonly layers: number;
  readonly disabled: boolean;
  readonly moments: readonly LearnMoment[];
  readonly outcome: LearnOutcome | undefined;
  readonly onLearn: (request: Omit<LearnRequest, "texts">) => void;
  readonly children: preact.ComponentChildren;
}

/** Texts, a target, and learning. */
export function LearnSection({
  texts,
  onTexts,
  hasOwnTexts,
  builtIn,
  heads,
  layers,
  disabled,
  moments,
  outcome,
  onLearn,
  children,
}: LearnSectionProps) {
  const id = useId();
  const [keep, setKeep] = useState(0.5);
  const [steps, setSteps] = useState(builtIn ? 200 : 100);
  const [train, setTrain] = useState<LearnRequest["train"]>("gates");
  const count = texts.split("\n").filter((line) => line.trim() !== "").length;
  const stay = outcome?.gates.flat().filter((gate) => gate !== 0).length;
  const least = Math.ceil((20 * layers) / heads) / 20;
  return (
    <section class="card" aria-labelledby="learn">
      <h2 id="learn">3. Learn which heads matter</h2>
      <p>
        Each head gets a gate. While the model is held to what the dense one says, λ grows until only as many
        gates are alive as you want; then what stays is trained on. No labels are needed.
      </p>
      <div class="columns two">
        <div class="field">
          <span>
            <label for={id}>Texts, one a line</label>
            <output for={id}>{count}</output>
          </span>
          <textarea
            id={id}
            rows={9}
            spellcheck={false}
            disabled={disabled}
            value={texts}
            onInput={(event) => onTexts(event.currentTarget.value)}
          />
          <span class="hint">
            {!hasOwnTexts &&
              (builtIn
                ? "Sentences that the rules have written. "
                : "To stand in, sentences on films: put texts in their place that your model is for. ")}
            {builtIn
              ? "400 fresh sentences of the rules, whose class is known, are held out."
              : "Every fifth is held out. After a tab a line may name its class."}{" "}
            The importances above are of these texts too.
          </span>
        </div>
        <div class="fields settings">
          <Slider
            label="Heads that stay"
            value={Math.max(keep, least)}
            min={least}
            max={0.95}
            step={0.05}
            show={(part) => `${percent(part, 0)}, ${Math.max(layers, Math.round(part * heads))} of ${heads}`}
            disabled={disabled}
            hint="at least one in each layer"
            onChange={setKeep}
          />
          <Slider
            label="Steps"
            value={steps}
            min={20}
            max={600}
            step={20}
            disabled={disabled}
            onChange={setSteps}
          />
          <Choice
            label="Trained"
            value={train}
            disabled={disabled}
            options={[
              ["gates", "gates alone: all weights stay"],
              ["groups", "gates and the weights of heads"],
              ["all", "gates and all weights"],
            ]}
            onChange={setTrain}
          />
        </div>
      </div>
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={disabled}
          onClick={() => onLearn({ keep: Math.max(keep, least), steps, train })}
        >
          Learn
        </button>
      </div>
      {children}
      {moments.length > 1 && (
        <LossChart moments={moments} stays={stay === undefined ? undefined : stay / heads} />
      )}
      {outcome && (
        <>
          <p role="status">
            Learned in {outcome.seconds.toFixed(1)} s from {outcome.examples} texts. {stay} of {heads} heads
            stay, the strongest, at least one in each layer; the others were turned off in the map above.
          </p>
          {outcome.warnings.map((warning) => (
            <Notice key={warning}>{warning}</Notice>
          ))}
        </>
      )}
    </section>
  );
}

/** Which part of the heads was alive after which step. In the end no gate is looked at any more: the strongest stay, as many as are wanted. */
function aliveOf(
  moments: readonly LearnMoment[],
  stays: number | undefined,
): readonly { readonly step: number; readonly active: number }[] {
  const seen = moments.flatMap(({ step, active }) => (active === undefined ? [] : [{ step, active }]));
  const [cut, last] = [seen.at(-1)?.step ?? 0, moments.findLast(({ loss }) => loss !== undefined)?.step ?? 0];
  return stays === undefined ? seen : [...seen, { step: cut, active: stays }, { step: last, active: stays }];
}

/** Steps whose losses are averaged. */
const meanSteps = 20;

function LossChart({
  moments,
  stays,
}: {
  readonly moments: readonly LearnMoment[];
  /** Part of the heads that stays in the end, once that is known. */
  readonly stays: number | undefined;
}) {
  const alive = useMemo(() => aliveOf(moments, stays), [moments, stays]);
  const told = moments.filter(({ loss }) => loss !== undefined && loss > 0);
  const mean = told.map(({ step }, i) => {
    const window = told.slice(Math.max(0, i - meanSteps + 1), i + 1);
    return { step, loss: window.reduce((sum, { loss }) => sum + loss!, 0) / window.length };
  });
  const last = told.at(-1);
  if (!last) return null;
  return (
    <div class="columns two">
      <figure>
        <Chart
          label={`Loss against steps; now ${short(mean.at(-1)!.loss)}`}
          height={180}
          layers={[
            {
              key: moments,
              options: () => ({
                marginLeft: 52,
                x: { label: "step" },
                y: { type: "log", label: "loss", grid: true, tickFormat: short, ticks: 4 },
                marks: [
                  Plot.dot(told, { x: "step", y: "loss", fill: "var(--faint)", fillOpacity: 0.6, r: 1.5 }),
                  Plot.line(mean, { x: "step", y: "loss", stroke: "var(--accent)", strokeWidth: 2 }),
                ],
              }),
            },
          ]}
        />
        <figcaption>
          Divergence from the dense model: on the texts of each step, and the mean of the last {meanSteps},
          now {short(mean.at(-1)!.loss)}.
        </figcaption>
      </figure>
      <figure>
        <Chart
          label={`Part of the heads that is alive against steps; now ${percent(alive.at(-1)?.active ?? 1, 0)}`}
          height={180}
          layers={[
            {
              key: alive,
              options: () => ({
                marginLeft: 52,
                x: { label: "step", domain: [0, Math.max(1, last.step)] },
                y: { label: "alive", domain: [0, 1], grid: true, tickFormat: "%", ticks: 4 },
                marks: [
                  Plot.line(alive, {
                    x: "step",
                    y: "active",
                    stroke: "var(--warm)",
                    strokeWidth: 2,
                    curve: "step-after",
                  }),
                ],
              }),
            },
          ]}
        />
        <figcaption>
          Heads whose gate is alive, while λ grows{last.lambda ? ` (now ${short(last.lambda)})` : ""}. In the
          end the strongest stay, as many as you want.
        </figcaption>
      </figure>
    </div>
  );
}
