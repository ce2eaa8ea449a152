import { proxy } from "comlink";
import { useState } from "preact/hooks";
import { DownloadButton } from "../ui/download-button.tsx";
import { FileDrop } from "../ui/file-drop.tsx";
import { bytes } from "../ui/format.ts";
import { showPage } from "../ui/shell.tsx";
import { type Job, useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
import { Budget } from "./budget.tsx";
import type { DeployWorker } from "./deploy-worker.ts";
import {
  type DroppedFile,
  type Measurement,
  type ModelFacts as Facts,
  type Place,
  placeNames,
  type PruneOutcome as Outcome,
  type PruneRequest,
  usualKinds,
} from "./deployment.ts";
import { Latencies } from "./latencies.tsx";
import { ModelFacts } from "./model-facts.tsx";
import { PruneOutcome } from "./prune-outcome.tsx";

/** Parts of the page where something can be under way or go wrong. */
type Part = "open" | "prune" | "measure";

const startWorker = (): Worker =>
  new Worker(new URL("./deploy-worker.ts", import.meta.url), { type: "module" });

function DeployPage() {
  const [files, setFiles] = useState<readonly DroppedFile[]>([]);
  const [models, setModels] = useState<readonly Facts[]>([]);
  const [request, setRequest] = useState<PruneRequest>({
    budget: "macs",
    fraction: 0.5,
    criterion: "l2",
    kinds: usualKinds,
  });
  const [outcome, setOutcome] = useState<Outcome>();
  const [measured, setMeasured] = useState<Partial<Record<Place, Measurement>>>({});
  const { api, end } = useWorker<DeployWorker>(startWorker, ({ message }) => giveUp(message, "open"));
  const cancel = (): void => {
    // A computation in the worker cannot be asked to stop; another worker opens the files anew.
    end();
    giveUp("Cancelled.");
    forget();
    if (files.length > 0) void api().open(files);
  };
  const { running, run, giveUp, status } = useJobs<Part>(cancel);
  const busy = running !== undefined;
  const forget = (): void => {
    setOutcome(undefined);
    setMeasured({});
  };
  const open = (text: string, source: () => Promise<readonly DroppedFile[]>): Promise<boolean> =>
    run("open", text, async () => {
      const chosen = await source();
      const facts = await api().open(chosen);
      forget();
      setFiles(chosen);
      setModels(facts);
      const there = facts[0]!.sites.filter(({ prunable }) => prunable > 0).map(({ kind }) => kind);
      setRequest({ ...request, kinds: usualKinds.filter((kind) => there.includes(kind)) });
    });
  const prune = (): Promise<boolean> =>
    run("prune", "Pruning, and proving the result equal to the masked model", async (tell) => {
      forget();
      setOutcome(await api().prune(request, fetching(tell)));
    });
  const measure = (place: Place): Promise<boolean> => {
    const text = `Running both on ${placeNames[place]} in turns`;
    return run("measure", text, async (tell) => {
      const onProgress = proxy((part: number) => tell({ text, part }));
      const result = await api().measure(place, fetching(tell), onProgress);
      setMeasured((before) => ({ ...before, [place]: result }));
    });
  };
  const [first] = models;
  const second = models[1] ?? outcome?.facts;
  return (
    <>
      <section class="card" aria-labelledby="open">
        <h2 id="open">1. Drop a model</h2>
        <FileDrop
          label="An ONNX file, or two to compare; with their external data, if they have any"
          hint="The files stay in this page."
          disabled={busy}
          onFiles={(chosen) => void open("Reading", () => Promise.all(chosen.map(contentOf)))}
        />
        <div class="row">
          <button
            type="button"
            disabled={busy}
            onClick={() => void open("Making the example", async () => [await api().example()])}
          >
            Take the example
          </button>
          <span class="hint">A convolutional network with drawn weights, made here.</span>
        </div>
        {status("open")}
      </section>
      {first && (
        <section class="card" aria-labelledby="facts">
          <h2 id="facts">2. What it is</h2>
          <div class="columns two">
            {[first, ...(models[1] ? [models[1]] : [])].map((facts) => (
              <ModelFacts key={facts.name} of={facts} />
            ))}
          </div>
        </section>
      )}
      {first && models.length === 1 && (
        <section class="card" aria-labelledby="budget">
          <h2 id="budget">3. Choose a budget</h2>
          <Budget facts={first} request={request} onChange={setRequest} />
          <div class="row">
            <button
              type="button"
              class="primary"
              disabled={busy || request.kinds.length === 0}
              onClick={() => void prune()}
            >
              Prune
            </button>
            {outcome && (
              <DownloadButton
                label={`Download ${outcome.facts.name}`}
                name={outcome.facts.name}
                content={() => api().bytes()}
              />
            )}
          </div>
          {status("prune")}
          {outcome && <PruneOutcome before={first} outcome={outcome} />}
        </section>
      )}
      {first && second && (
        <section class="card" aria-labelledby="compare">
          <h2 id="compare">{models.length === 1 ? "4" : "3"}. Side by side</h2>
          <p>
            Both run in onnxruntime-web on the same random inputs, in turns, so that a slow moment of this
            machine strikes both alike.
          </p>
          <div class="row">
            {(["wasm", "webgpu"] as const).map((place) => (
              <button key={place} type="button" disabled={busy} onClick={() => void measure(place)}>
                Run on {placeNames[place]}
              </button>
            ))}
          </div>
          {status("measure")}
          <div class="columns two">
            {(["wasm", "webgpu"] as const).map((place) => {
              const result = measured[place];
              return (
                result && (
                  <Latencies key={place} place={place} of={result} names={[first.name, second.name]} />
                )
              );
            })}
          </div>
        </section>
      )}
    </>
  );
}

const contentOf = async (file: File): Promise<DroppedFile> => ({
  name: file.name,
  bytes: new Uint8Array(await file.arrayBuffer()),
});

/** Tells how far the download of the runtime has come. */
const fetching = (tell: (job: Job) => void) =>
  proxy((loaded: number, total: number | undefined) =>
    tell({
      text: `Fetching onnxruntime-web: ${bytes(loaded)}${total === undefined ? "" : ` of ${bytes(total)}`}`,
      part: total === undefined ? undefined : loaded / total,
    }),
  );

showPage(
  "deploy",
  "Prune an ONNX model and ship it",
  "Drop a model: see what of it can be removed, choose a budget, get a smaller file that computes what the masked model computes, and measure both here.",
  DeployPage,
);
