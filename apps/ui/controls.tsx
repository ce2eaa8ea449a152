import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

interface SliderProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  /** Whether the slider moves by factors. */
  readonly log?: boolean;
  readonly show?: (value: number) => string;
  readonly hint?: ComponentChildren;
  readonly disabled?: boolean;
  readonly onChange: (value: number) => void;
}

/** Positions of a slider that moves by factors. */
const positions = 200;

/** A labelled slider with its value beside it. */
export function Slider({
  label,
  value,
  min,
  max,
  step = 1,
  log = false,
  show = String,
  hint,
  disabled = false,
  onChange,
}: SliderProps) {
  const id = useId();
  const position = log ? (positions * Math.log(value / min)) / Math.log(max / min) : value;
  const valueAt = (at: number): number => (log ? min * (max / min) ** (at / positions) : at);
  return (
    <div class="field">
      <span>
        <label for={id}>{label}</label>
        <output for={id}>{show(value)}</output>
      </span>
      <input
        id={id}
        type="range"
        disabled={disabled}
        min={log ? 0 : min}
        max={log ? positions : max}
        step={log ? 1 : step}
        value={position}
        aria-valuetext={show(value)}
        onInput={(event) => onChange(valueAt(event.currentTarget.valueAsNumber))}
      />
      {hint && <span class="hint">{hint}</span>}
    </div>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, name: string])[];
  readonly hint?: ComponentChildren;
  readonly disabled?: boolean;
  readonly onChange: (value: T) => void;
}

/** A labelled list to choose one of. */
export function Choice<T extends string>({
  label,
  value,
  options,
  hint,
  disabled = false,
  onChange,
}: ChoiceProps<T>) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        disabled={disabled}
        // The options are those of this component.
        onChange={(event) => onChange(event.currentTarget.value as T)}
      >
        {options.map(([each, name]) => (
          <option key={each} value={each}>
            {name}
          </option>
        ))}
      </select>
      {hint && <span class="hint">{hint}</span>}
    </div>
  );
}

/** Numbers with names, side by side. */
export function Stats({ of }: { readonly of: readonly (readonly [name: string, value: string])[] }) {
  return (
    <dl class="stats">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Something that the reader has to know, where it happened. */
export function Notice({
  bad = false,
  children,
}: {
  readonly bad?: boolean;
  readonly children: ComponentChildren;
}) {
  return (
    <div class={bad ? "notice bad" : "notice"} role={bad ? "alert" : "status"}>
      {children}
    </div>
  );
}

/** What is wider than the page and scrolls by itself, with the keyboard too. */
export function Scroll({
  label,
  children,
}: {
  readonly label: string;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}

/** Least time between two texts that are read out. */
const readOutMs = 10_000;

/** A text that changes all the time, as often as it can be listened to. */
function useCalm(text: string): string {
  const [calm, setCalm] = useState(text);
  const latest = useRef(text);
  latest.current = text;
  useEffect(() => {
    const timer = setInterval(() => setCalm(latest.current), readOutMs);
    return () => clearInterval(timer);
  }, []);
  return calm;
}

/** A long job under way, with the way out. */
export function Progress({
  text,
  value,
  onCancel,
}: {
  readonly text: string;
  /** From 0 to 1; undefined while it cannot be told. */
  readonly value: number | undefined;
  readonly onCancel?: () => void;
}) {
  const id = useId();
  const calm = useCalm(text);
  return (
    <div class="progress">
      <div class="row">
        {/* First, so that it does not move away under the pointer when the text changes. */}
        {onCancel && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <span id={id}>{text}</span>
        <span role="status" class="visually-hidden">
          {calm}
        </span>
      </div>
      <progress aria-labelledby={id} max={1} {...(value !== undefined && { value })} />
    </div>
  );
}
