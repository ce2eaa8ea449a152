import { proxy } from "comlink";
import { zipSync } from "fflate";
import { useState } from "preact/hooks";
import { Choice, Slider, Stats } from "../ui/controls.tsx";
import { DownloadButton } from "../ui/download-button.tsx";
import { bytes, count, short } from "../ui/format.ts";
import { showPage } from "../ui/shell.tsx";
import { useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
import { Compare } from "./compare.tsx";
import { GroupPictures } from "./group-pictures.tsx";
import { LiveCharts } from "./live-charts.tsx";
import { digitsOf, type OwnDigit, OwnDigits } from "./own-digits.tsx";
import { PrunedSummary } from "./pruned-summary.tsx";
import type { TrainWorker } from "./train-worker.ts";
import {
  type Controls,
  type NetworkName,
  type PrunedSummary as Outcome,
  totalsOf,
  type TrainingMoment,
  type TrainingSettings,
} from "./training.ts";

/** Parts of the page where something can be under way or go wrong. */
type Part = "train" | "prune";

const usual: Readonly<
  Record<NetworkName, { readonly lambda: number; readonly rate: number; readonly epochs: number }>
> = {
  "lenet-300-100": { lambda: 6e-3, rate: 0.1, epochs: 12 },
  cnn: { lambda: 2e-2, rate: 0.05, epochs: 6 },
};

const startWorker = (): Worker =>
  new Worker(new URL("./train-worker.ts", import.meta.url), { type: "module" });

function TrainPage() {
  const [network, setNetwork] = useState<NetworkName>("lenet-300-100");
  const [examples, setExamples] = useState(4000);
  const [epochs, setEpochs] = useState(usual["lenet-300-100"].epochs);
  const [backend, setBackend] = useState<TrainingSettings["backend"]>("auto");
  const [controls, setControls] = useState<Controls>({ depth: 3, lambda: usual["lenet-300-100"].lambda });
  const [own, setOwn] = useState<readonly OwnDigit[]>([]);
  const [device, setDevice] = useState("");
  const [moments, setMoments] = useState<readonly TrainingMoment[]>([]);
  const [summary, setSummary] = useState<Outcome>();
  const [trained, setTrained] = useState(false);
  const { api, end } = useWorker<TrainWorker>(startWorker, ({ message }) => {
    giveUp(message, "train");
    setTrained(false);
  });
  const cancel = (): void => {
    // A computation in the worker cannot be asked to stop; what was trained is gone with it.
    end();
    giveUp("Cancelled.");
    setTrained(false);
    setSummary(undefined);
  };
  const { running, run, giveUp, status } = useJobs<Part>(cancel);
  const busy = running !== undefined;

  const chooseNetwork = (name: NetworkName): void => {
    setNetwork(name);
    setEpochs(usual[name].epochs);
    setControls({ ...controls, lambda: usual[name].lambda });
  };
  const change = (part: Partial<Controls>): void => {
    const next = { ...controls, ...part };
    setControls(next);
    if (running === "train" && moments.length > 0) void api().control(next);
  };
  const train = (): Promise<boolean> =>
    run("train", "Starting tfjs and drawing digits", async (tell) => {
      setMoments([]);
      setSummary(undefined);
      setTrained(false);
      const found: TrainingMoment[] = [];
      const { rate } = usual[network];
      const settings: TrainingSettings = { network, examples, epochs, batch: 50, rate, seed: 1, backend };
      const started = await api().begin(settings, controls, digitsOf(own));
      setDevice([`Trains on ${started.device}.`, ...started.not.map((why) => `Not on ${why}.`)].join(" "));
      await api().train(
        proxy((moment: TrainingMoment) => {
          found.push(moment);
          setMoments([...found]);
          const { epoch, lambda } = moment;
          const text = `Epoch ${Math.min(epochs, Math.floor(epoch) + 1)} of ${epochs}, λ = ${short(lambda)}`;
          tell({ text, part: epoch / epochs });
        }),
      );
      setTrained(true);
    });
  const prune = (): Promise<boolean> => {
    const text = "Pruning, proving and measuring";
    return run("prune", text, async (tell) => {
      setSummary(undefined);
      const onBytes = (loaded: number, total: number | undefined): void =>
        tell({
          text: `${text}; onnxruntime-web: ${bytes(loaded)}${total === undefined ? "" : ` of ${bytes(total)}`}`,
          part: total === undefined ? undefined : loaded / total,
        });
      setSummary(await api().prune(proxy(onBytes)));
    });
  };
  const last = moments.at(-1);
  return (
    <>
      <section class="card" aria-labelledby="set-up">
        <h2 id="set-up">1. Train</h2>
        <div class="fields">
          <Choice
            label="Network"
            value={network}
            disabled={busy}
            options={[
              ["lenet-300-100", "LeNet-300-100: neurons and pixels"],
              ["cnn", "Small CNN: filters and neurons"],
            ]}
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
          <Slider label="Epochs" value={epochs} min={1} max={40} disabled={busy} onChange={setEpochs} />
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
            onChange={(depth) => change({ depth })}
            hint="also while it trains"
          />
          <Slider
            label="λ"
            value={controls.lambda}
            min={1e-4}
            max={0.1}
            log
            show={short}
            onChange={(lambda) => change({ lambda })}
            hint="its largest value; also while it trains"
          />
        </div>
        <OwnDigits own={own} disabled={busy} onChange={setOwn} />
        <div class="row">
          <button type="button" class="primary" disabled={busy} onClick={() => void train()}>
            {moments.length > 0 ? "Train anew" : "Train"}
          </button>
          {device && <span class="hint">{device}</span>}
        </div>
        {status("train")}
      </section>
      {last && (
        <section class="card" aria-labelledby="watch">
          <h2 id="watch">2. Watch groups die</h2>
          <Stats
            of={[
              ["D", String(last.depth)],
              ["groups left", `${totalsOf(last).active} of ${totalsOf(last).groups}`],
              ["seconds", last.seconds.toFixed(1)],
              ["gap", short(totalsOf(last).gap)],
            ]}
          />
          <GroupPictures sites={last.sites} />
          <LiveCharts moments={moments} epochs={epochs} />
        </section>
      )}
      {trained && (
        <section class="card" aria-labelledby="prune">
          <h2 id="prune">3. Remove them for real</h2>
          <p>
            The dead groups are cut out with everything that hangs on them; the smaller model is exported to
            ONNX and has to compute in onnxruntime-web what the masked one does.
          </p>
          <div class="row">
            <button type="button" class="primary" disabled={busy} onClick={() => void prune()}>
              Prune
            </button>
            {summary && (
              <>
                <DownloadButton label="Download model.onnx" name="model.onnx" content={() => api().onnx()} />
                <DownloadButton
                  label="Download the tfjs model"
                  name="tfjs-model.zip"
                  content={async () => zipSync(await api().tfjsFiles())}
                />
                <DownloadButton
                  label="Download the report"
                  name="report.html"
                  type="text/html"
                  content={() => api().report()}
                />
              </>
            )}
          </div>
          {status("prune")}
          {summary && <PrunedSummary of={summary} />}
        </section>
      )}
      {summary && <Compare guess={(image) => api().guess(image)} />}
    </>
  );
}

showPage(
  "train",
  "Train a network that shrinks itself",
  "Two networks are trained side by side in this page, one with gates. Groups of weights that the digits do not need switch themselves off; then they are removed.",
  TrainPage,
);
