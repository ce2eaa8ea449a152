import type { ComponentChildren } from "preact";
import { type Measurement, type Place, placeNames } from "./deployment.ts";
import { Latencies } from "./latencies.tsx";

const places = ["wasm", "webgpu"] as const;

interface CompareSectionProps {
  readonly step: number;
  readonly names: readonly [string, string];
  readonly measured: Readonly<Partial<Record<Place, Measurement>>>;
  readonly disabled: boolean;
  readonly onMeasure: (place: Place) => void;
  /** What is under way, or what went wrong. */
  readonly children: ComponentChildren;
}

/** Two models in turns on the same inputs. */
export function CompareSection({
  step,
  names,
  measured,
  disabled,
  onMeasure,
  children,
}: CompareSectionProps) {
  return (
    <section class="card" aria-labelledby="compare">
      <h2 id="compare">{step}. Side by side</h2>
      <p>
        Both run in onnxruntime-web on the same random inputs, in turns, so that a slow moment of this machine
        strikes both alike.
      </p>
      <div class="row">
        {places.map((place) => (
          <button key={place} type="button" disabled={disabled} onClick={() => onMeasure(place)}>
            Run on {placeNames[place]}
          </button>
        ))}
      </div>
      {children}
      <div class="columns two">
        {places.map((place) => {
          const result = measured[place];
          return result && <Latencies key={place} place={place} of={result} names={names} />;
        })}
      </div>
    </section>
  );
}
