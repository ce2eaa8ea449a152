import { useRef, useState } from "preact/hooks";
import { percent, short } from "../ui/format.ts";
import type { HeadLayer, HeadNumbers } from "./heads.ts";

interface HeatMapProps {
  readonly layers: readonly HeadLayer[];
  /** Importance of each head; undefined while it is not known. */
  readonly scores: HeadNumbers | undefined;
  readonly gates: HeadNumbers;
  readonly disabled: boolean;
  readonly onToggle: (layer: number, head: number) => void;
}

const moves: Readonly<Record<string, readonly [down: number, right: number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  Home: [0, -Infinity],
  End: [0, Infinity],
};

const bounded = (value: number, count: number): number => Math.max(0, Math.min(count - 1, value));

/** Layers × heads: each is a button that turns the head on and off. Arrow keys go from one to the next. */
export function HeatMap({ layers, scores, gates, disabled, onToggle }: HeatMapProps) {
  const map = useRef<HTMLTableElement>(null);
  // One cell is in the order of the Tab key.
  const [[row, column], setAt] = useState<readonly [number, number]>([0, 0]);
  const most = Math.max(1e-12, ...(scores ?? []).flat());
  const widest = Math.max(...layers.map(({ heads }) => heads));
  const move = (event: KeyboardEvent): void => {
    const step = moves[event.key];
    if (!step) return;
    event.preventDefault();
    const to = bounded(row + step[0], layers.length);
    const next = [to, bounded(column + step[1], layers[to]!.heads)] as const;
    setAt(next);
    map.current!.querySelector<HTMLButtonElement>(`[data-cell="${next.join()}"]`)?.focus();
  };
  return (
    <div class="scroll">
      <table
        class="heat"
        ref={map}
        onKeyDown={move}
        aria-label="Heads: each button turns one on or off; arrow keys move"
      >
        <thead>
          <tr>
            <th scope="col">
              <span class="visually-hidden">layer</span>
            </th>
            {Array.from({ length: widest }, (_, head) => (
              <th key={head} scope="col">
                <span class="visually-hidden">head </span>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {layers.map(({ name, heads }, layer) => (
            <tr key={name}>
              <th scope="row" title={name}>
                <span class="long">layer </span>
                {layer}
              </th>
              {Array.from({ length: heads }, (_, head) => {
                const gate = gates[layer]?.[head] ?? 1;
                const score = scores?.[layer]?.[head];
                const state = gate === 0 ? "off" : gate === 1 ? "on" : `×${short(gate)}`;
                const known =
                  score === undefined
                    ? ""
                    : `, importance ${short(score)}, ${percent(score / most, 0)} of the largest`;
                return (
                  <td key={head}>
                    <button
                      type="button"
                      class="head"
                      data-cell={`${layer},${head}`}
                      tabIndex={
                        layer === bounded(row, layers.length) && head === bounded(column, heads) ? 0 : -1
                      }
                      aria-pressed={gate !== 0}
                      aria-label={`Layer ${layer}, head ${head}${known}, ${state}`}
                      aria-disabled={disabled}
                      style={{ "--part": String((score ?? 0) / most) }}
                      onFocus={() => setAt([layer, head])}
                      onClick={() => !disabled && onToggle(layer, head)}
                    >
                      <span>{score === undefined ? "–" : percent(score / most, 0)}</span>
                      <small>{state}</small>
                    </button>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
