import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Slider, Stats } from "../ui/controls.tsx";
import { short } from "../ui/format.ts";
import { FactorsPlane, ImbalanceChart, NormChart, WeightsPlane } from "./flow-charts.tsx";
import {
  advance,
  deadNorm,
  type FlowRecord,
  type FlowState,
  lassoThreshold,
  longestTime,
  type Point,
  type Pull,
  record,
  startAt,
} from "./group-flow.ts";

const start: Point = [-0.6, 1.6];
const dt = 0.02;
/** Steps between two points that are kept, and points for each picture. */
const stepsPerRecord = 4;
const recordsPerFrame = 3;

interface Flow {
  readonly records: readonly FlowRecord[];
  readonly running: boolean;
  readonly toggle: () => void;
  readonly restart: () => void;
}

/** Where the flow is, and how it came there. */
interface Path {
  readonly state: FlowState;
  readonly records: readonly FlowRecord[];
}

/** Follows the flow, a little further with each picture of the screen; another pull or start begins anew. */
function useFlow(pull: Pull, gate: number): Flow {
  const [running, setRunning] = useState(true);
  const [attempt, setAttempt] = useState(0);
  // There from the first picture on, so that nothing moves when the path begins.
  const begun = useMemo((): Path => {
    const state = startAt(start, gate, pull.depth);
    return { state, records: [record(state, pull)] };
  }, [pull, gate, attempt]);
  const path = useRef(begun);
  const [shown, setShown] = useState({ begun, records: begun.records });
  useEffect(() => {
    path.current = begun;
    setRunning(true);
  }, [begun]);
  useEffect(() => {
    if (!running) return undefined;
    let frame = 0;
    const further = (): void => {
      let { state } = path.current;
      const records = [...path.current.records];
      for (let i = 0; i < recordsPerFrame; i++) {
        for (let s = 0; s < stepsPerRecord; s++) state = advance(state, pull, dt);
        records.push(record(state, pull));
      }
      path.current = { state, records };
      setShown({ begun, records });
      if (state.time < longestTime) frame = requestAnimationFrame(further);
      else setRunning(false);
    };
    frame = requestAnimationFrame(further);
    return () => cancelAnimationFrame(frame);
  }, [running, begun]);
  return {
    records: shown.begun === begun ? shown.records : begun.records,
    running,
    toggle: () => setRunning(!running),
    restart: () => setAttempt(attempt + 1),
  };
}

/** One group of two weights: its planes, its path, its balance. */
export function GroupSection() {
  const [depth, setDepth] = useState(3);
  const [lambda, setLambda] = useState(0.3);
  const [gate, setGate] = useState(0.7);
  const [angle, setAngle] = useState(-20);
  const pull = useMemo((): Pull => {
    const radians = (angle * Math.PI) / 180;
    return { depth, lambda, target: [1.5 * Math.cos(radians), 1.5 * Math.sin(radians)] };
  }, [depth, lambda, angle]);
  return (
    <section class="card" aria-labelledby="group">
      <h2 id="group">One group in the plane</h2>
      <p>
        A group of two weights is written as w = ω · γ<sub>1</sub> ⋯ γ<sub>D−1</sub>. The loss pulls w to the
        cross; plain L2 on ω and the gates, (λ/D)·(‖ω‖² + Σγ²), is all the penalty that the flow knows. It
        falls to where λ‖w‖<sup>2/D</sup> is least: move λ up until the group dies.
      </p>
      <div class="fields">
        <Slider
          label="D"
          value={depth}
          min={2}
          max={5}
          onChange={setDepth}
          hint="2 is the group lasso; more is sparser"
        />
        <Slider label="λ" value={lambda} min={0.02} max={2} log show={short} onChange={setLambda} />
        <Slider
          label="Gates start at"
          value={gate}
          min={0.6}
          max={2}
          step={0.05}
          show={(x) => x.toFixed(2)}
          onChange={setGate}
          hint={`in balance with ω at ${(Math.hypot(...start) ** (1 / depth)).toFixed(2)}`}
        />
        <Slider
          label="Direction of the pull"
          value={angle}
          min={-90}
          max={90}
          show={(x) => `${x}°`}
          onChange={setAngle}
        />
      </div>
      <FlowView pull={pull} gate={gate} />
    </section>
  );
}

function FlowView({ pull, gate }: { readonly pull: Pull; readonly gate: number }) {
  const { records, running, toggle, restart } = useFlow(pull, gate);
  const last = records.at(-1)!;
  const death = records.find(({ norm }) => norm < deadNorm);
  const done = last.time >= longestTime;
  return (
    <>
      <div class="row">
        <button type="button" class="primary" onClick={done ? restart : toggle}>
          {done ? "Once more" : running ? "Pause" : "Go on"}
        </button>
        <button type="button" onClick={restart}>
          From the start
        </button>
        <span role="status">{verdict(death, last, pull)}</span>
      </div>
      <div class="columns">
        <WeightsPlane records={records} pull={pull} />
        <FactorsPlane records={records} pull={pull} />
      </div>
      <Stats
        of={[
          ["time t", last.time.toFixed(1)],
          ["‖w‖", short(last.norm)],
          ["smooth objective", last.smooth.toFixed(4)],
          ["sparse objective", last.sparse.toFixed(4)],
          ["gap", short(last.gap)],
          ["imbalance |‖ω‖² − γ²|", short(last.imbalance)],
        ]}
      />
      <div class="columns">
        <ImbalanceChart records={records} pull={pull} />
        <NormChart records={records} pull={pull} />
      </div>
    </>
  );
}

function verdict(death: FlowRecord | undefined, last: FlowRecord, { depth, lambda, target }: Pull): string {
  const threshold = lassoThreshold(target);
  if (death) return `The group died at t = ${death.time.toFixed(1)}.`;
  if (depth === 2) {
    return lambda >= threshold
      ? `It will die: λ is at least ‖∇L₀(0)‖ = ${short(threshold)}.`
      : `It lives: the group lasso empties it from λ = ‖∇L₀(0)‖ = ${short(threshold)} on.`;
  }
  return last.time >= longestTime
    ? "It lives."
    : "Zero is a minimum for every λ here; which one the flow falls into depends on λ and on the start.";
}
