import { Choice, Stats } from "../ui/controls.tsx";
import { bytes, count, percent } from "../ui/format.ts";
import type { ModelFacts } from "./heads.ts";
import { HeatMap } from "./heat-map.tsx";
import { LivePanel } from "./live-panel.tsx";
import type { HeadAt, Heads } from "./use-heads.ts";

/** The heads of a model, to turn on and off, and what that does. */
export function HeadsSection({ of, facts }: { readonly of: Heads; readonly facts: ModelFacts }) {
  const { jobs, busy, gates, heads, off, scores, text, setText, live, turn } = of;
  return (
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
                  "right with all heads on",
                  `${percent(facts.accuracy.right / facts.accuracy.of)} of ${facts.accuracy.of}`,
                ] as const,
              ]
            : []),
        ]}
      />
      <HeadControls of={of} />
      {jobs.status("heads")}
      <HeatMap
        layers={facts.layers}
        scores={scores}
        gates={gates}
        disabled={busy}
        onToggle={(layer, head) => void turn([[layer, head]], gates[layer]![head] === 0)}
      />
      <p class="hint">
        The stronger the colour, the more important; percentages are of the largest. Layers and heads are
        numbered as in <code>gates.set(layer, head, 0)</code>.
        {gates.flat().some((gate) => gate !== 0 && gate !== 1) &&
          " × is the gate that was learned for a head that is on."}
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
      {jobs.status("live")}
      <LivePanel state={live} />
    </section>
  );
}

/** How heads are ranked, and switches for many at once. */
function HeadControls({
  of: { jobs, busy, heads, off, measure, scores, learned, rank, turn },
}: {
  readonly of: Heads;
}) {
  return (
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
        <button type="button" disabled={busy || !scores} onClick={() => void turn(weakest(heads), false)}>
          Weaker half off
        </button>
        {jobs.failed("heads") && (
          <button type="button" disabled={busy} onClick={() => void rank(measure)}>
            Compute again
          </button>
        )}
      </div>
    </div>
  );
}

/** The half of the heads that are on whose importance is least. */
const weakest = (heads: Heads["heads"]): readonly HeadAt[] => {
  const on = heads.filter(({ gate }) => gate !== 0).toSorted((a, b) => a.score - b.score);
  return on.slice(0, on.length >> 1).map(({ at }) => at);
};
