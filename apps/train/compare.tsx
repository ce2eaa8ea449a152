import { useState } from "preact/hooks";
import { Notice } from "../ui/controls.tsx";
import { percent } from "../ui/format.ts";
import { adviceFor } from "../ui/worker-errors.ts";
import { DrawingPad } from "./drawing-pad.tsx";
import { type Guess, side } from "./training.ts";

/** A pad for a digit, and what both networks see in it. */
export function Compare({ guess }: { readonly guess: (image: Float32Array) => Promise<Guess> }) {
  const [sheet, setSheet] = useState(0);
  const [found, setFound] = useState<Guess>();
  const [trouble, setTrouble] = useState("");
  const ask = async (image: Float32Array): Promise<void> => {
    setTrouble("");
    try {
      setFound(await guess(image));
    } catch (error) {
      setTrouble(adviceFor(error));
    }
  };
  return (
    <section class="card" aria-labelledby="compare">
      <h2 id="compare">4. Draw a digit</h2>
      <div class="row pad-row">
        <DrawingPad
          label={`Draw a digit, ${side} pixels for the networks, to compare both`}
          sheet={sheet}
          onDraw={(image) => void ask(image)}
        />
        <div class="guesses">
          {found ? (
            <>
              <Bars name="dense" of={found.dense} />
              <Bars name="pruned" of={found.pruned} />
            </>
          ) : (
            <p class="hint">Both networks will say what they see.</p>
          )}
          <button
            type="button"
            onClick={() => {
              setFound(undefined);
              setTrouble("");
              setSheet(sheet + 1);
            }}
          >
            Clear
          </button>
        </div>
      </div>
      {trouble && <Notice bad>{trouble}</Notice>}
    </section>
  );
}

function Bars({ name, of }: { readonly name: string; readonly of: Float32Array }) {
  const best = of.indexOf(Math.max(...of));
  return (
    <div class="bars">
      <h3>
        {name}: {best} ({percent(of[best]!, 0)})
      </h3>
      <ol start={0} aria-label={`Probabilities of the ${name} network`}>
        {Array.from(of, (part, digit) => (
          <li key={digit}>
            <span>{digit}</span>
            <meter min={0} max={1} value={part} aria-label={`${digit}: ${percent(part)}`} />
          </li>
        ))}
      </ol>
    </div>
  );
}
