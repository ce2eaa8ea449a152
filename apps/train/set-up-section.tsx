import { useState } from "preact/hooks";
import { Choice, Slider } from "../ui/controls.tsx";
import { count, short } from "../ui/format.ts";
import { digitsOf, type OwnDigit, OwnDigits } from "./own-digits.tsx";
import type { Controls, NetworkName, TrainingSettings } from "./training.ts";
import type { Training } from "./use-training.ts";

/** What the page starts with for each network. */
export const usual: Readonly<
  Record<NetworkName, { readonly lambda: number; readonly rate: number; readonly epochs: number }>
> = {
  "lenet-300-100": { lambda: 6e-3, rate: 0.1, epochs: 12 },
  cnn: { lambda: 2e-2, rate: 0.05, epochs: 6 },
};

interface SetUpSectionProps {
  readonly of: Training;
  readonly epochs: number;
  readonly onEpochs: (epochs: number) => void;
  readonly controls: Controls;
  readonly onControls: (controls: Controls) => void;
}

/** What is trained, on what, and how. */
export function SetUpSection({
  of: { jobs, device, moments, train },
  epochs,
  onEpochs,
  controls,
  onControls,
}: SetUpSectionProps) {
  const [network, setNetwork] = useState<NetworkName>("lenet-300-100");
  const [examples, setExamples] = useState(4000);
  const [backend, setBackend] = useState<TrainingSettings["backend"]>("auto");
  const [own, setOwn] = useState<readonly OwnDigit[]>([]);
  const busy = jobs.running !== undefined;
  const chooseNetwork = (name: NetworkName): void => {
    setNetwork(name);
    onEpochs(usual[name].epochs);
    onControls({ ...controls, lambda: usual[name].lambda });
  };
  const start = (): Promise<void> =>
    train(
      { network, examples, epochs, batch: 50, rate: usual[network].rate, seed: 1, backend },
      digitsOf(own),
    );
  return (
    <section class="card" aria-labelledby="set-up">
      <h2 id="set-up">1. Train</h2>
      <div class="fields">
        <Choice
          label="Network"
          value={network}
          disabled={busy}
          options={[
            ["lenet-300-100", "LeNet-300-100"],
            ["cnn", "Small CNN"],
          ]}
          hint={network === "cnn" ? "its filters and neurons" : "its pixels and neurons"}
          onChange={chooseNetwork}
        />
        <Slider
          label="Drawn digits"
          value={examples}
          min={200}
          max={10000}
          step={200}
          show={count}
          disabled={busy}
          onChange={setExamples}
        />
        <Slider label="Epochs" value={epochs} min={1} max={40} disabled={busy} onChange={onEpochs} />
        <Choice
          label="Computes on"
          value={backend}
          disabled={busy}
          options={[
            ["auto", "the fastest there is"],
            ["webgpu", "WebGPU"],
            ["wasm", "WASM"],
          ]}
          onChange={setBackend}
        />
        <Slider
          label="D"
          value={controls.depth}
          min={2}
          max={4}
          onChange={(depth) => onControls({ ...controls, depth })}
          hint="also while it trains"
        />
        <Slider
          label="λ"
          value={controls.lambda}
          min={1e-4}
          max={0.1}
          log
          show={short}
          onChange={(lambda) => onControls({ ...controls, lambda })}
          hint="its largest value; also while it trains"
        />
      </div>
      <OwnDigits own={own} disabled={busy} onChange={setOwn} />
      <div class="row">
        <button type="button" class="primary" disabled={busy} onClick={() => void start()}>
          {moments.length > 0 ? "Train anew" : "Train"}
        </button>
        {device && <span class="hint">{device}</span>}
      </div>
      {jobs.status("train")}
    </section>
  );
}
