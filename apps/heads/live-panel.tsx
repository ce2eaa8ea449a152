import { percent, short } from "../ui/format.ts";
import type { LiveNews, Prediction, Quality } from "./heads.ts";

/** What is known, and which of it is of the heads that are on now. */
export interface LiveState {
  readonly news: LiveNews;
  readonly fresh: ReadonlySet<keyof LiveNews>;
}

/** The names of what a quality is, for a table and for a sentence. */
export const qualityNames: Readonly<Record<Quality["kind"], string>> = {
  class: "same class as dense",
  token: "same tokens as dense",
  cosine: "cosine to dense states",
};

export const qualityValue = ({ kind, agreement }: Quality): string =>
  kind === "cosine" ? agreement.toFixed(4) : percent(agreement);

/** What heads that are off do to a prediction, to texts held out, and to latency. */
export function LivePanel({ state }: { readonly state: LiveState | undefined }) {
  if (!state) return <p class="hint">Write a text: what the model makes of it is shown here.</p>;
  const {
    news: { prediction, quality, latency },
    fresh,
  } = state;
  return (
    <div class="live" aria-live="polite">
      <div class="now" aria-busy={!fresh.has("prediction")}>
        <h3>Prediction</h3>
        {prediction ? <PredictionView of={prediction} /> : <p class="hint">…</p>}
      </div>
      <div class="now" aria-busy={!fresh.has("quality")}>
        <h3>On texts held out</h3>
        {quality && !("missing" in quality) ? (
          <dl class="stats">
            <div>
              <dt>{qualityNames[quality.kind]}</dt>
              <dd>{qualityValue(quality)}</dd>
            </div>
            {quality.accuracy && (
              <div>
                <dt>right (dense: {percent(quality.accuracy.dense)})</dt>
                <dd>{percent(quality.accuracy.now)}</dd>
              </div>
            )}
          </dl>
        ) : (
          <p class="hint">{quality ? quality.missing : "…"}</p>
        )}
      </div>
      <div class="now" aria-busy={!fresh.has("latency")}>
        <h3>Latency</h3>
        {latency ? (
          <>
            <dl class="stats">
              <div>
                <dt>dense</dt>
                <dd>{latency.medians[0]!.toFixed(2)} ms</dd>
              </div>
              <div>
                <dt>with gates</dt>
                <dd>{latency.medians[1]!.toFixed(2)} ms</dd>
              </div>
            </dl>
            <p class="hint">
              Medians of {latency.rounds} runs in turns. A head that is off is still computed, then multiplied
              by 0: nothing gets faster before it is removed, in step 4.
            </p>
          </>
        ) : (
          <p class="hint">…</p>
        )}
      </div>
    </div>
  );
}

function PredictionView({ of }: { readonly of: Prediction }) {
  switch (of.kind) {
    case "cosine":
      return <p>The text's vector has a cosine of {of.cosine.toFixed(4)} to that of the dense model.</p>;
    case "answers":
      return (
        <dl class="answers">
          <dt>dense</dt>
          <dd>{of.dense}</dd>
          <dt>now</dt>
          <dd>{of.now}</dd>
        </dl>
      );
    default:
      return (
        <table class="classes">
          <thead>
            <tr>
              <th scope="col">class</th>
              <th scope="col">dense</th>
              <th scope="col">now</th>
            </tr>
          </thead>
          <tbody>
            {of.classes.slice(0, 6).map(([name, dense, now]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>
                  <Bar part={dense} />
                </td>
                <td>
                  <Bar part={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      );
  }
}

const Bar = ({ part }: { readonly part: number }) => (
  <span class="bar" style={{ "--part": String(part) }} title={short(part)}>
    {percent(part)}
  </span>
);
