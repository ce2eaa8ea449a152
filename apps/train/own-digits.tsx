import { useState } from "preact/hooks";
import { Choice } from "../ui/controls.tsx";
import { DrawingPad } from "./drawing-pad.tsx";
import type { OwnDigits as DrawnDigits } from "./training.ts";

/** A digit that the reader drew, and what it is. */
export interface OwnDigit {
  readonly image: Float32Array;
  readonly label: number;
}

/** As the worker takes them. */
export const digitsOf = (own: readonly OwnDigit[]): DrawnDigits => ({
  images: Float32Array.from(own.flatMap(({ image }) => [...image])),
  labels: Uint8Array.from(own.map(({ label }) => label)),
});

/** A pad on which digits are added to those that are trained on. */
export function OwnDigits({
  own,
  disabled,
  onChange,
}: {
  readonly own: readonly OwnDigit[];
  readonly disabled: boolean;
  readonly onChange: (own: readonly OwnDigit[]) => void;
}) {
  const [sheet, setSheet] = useState(0);
  const [image, setImage] = useState<Float32Array>();
  const [label, setLabel] = useState("0");
  return (
    <details>
      <summary>Add digits of your own ({own.length})</summary>
      <div class="row pad-row">
        <DrawingPad label="Draw a digit to train on" sheet={sheet} onDraw={setImage} />
        <div class="fields">
          <Choice
            label="It is a"
            value={label}
            options={Array.from({ length: 10 }, (_, i) => [String(i), String(i)] as const)}
            onChange={setLabel}
          />
          <div class="row">
            <button
              type="button"
              disabled={!image || disabled}
              onClick={() => {
                onChange([...own, { image: image!, label: Number(label) }]);
                setImage(undefined);
                setSheet(sheet + 1);
              }}
            >
              Add it
            </button>
            <button
              type="button"
              onClick={() => {
                setImage(undefined);
                setSheet(sheet + 1);
              }}
            >
              Clear
            </button>
          </div>
        </div>
      </div>
    </details>
  );
}
