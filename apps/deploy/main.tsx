import { Notice } from "../ui/controls.tsx";
import { DownloadButton } from "../ui/download-button.tsx";
import { FileDrop } from "../ui/file-drop.tsx";
import { showPage } from "../ui/shell.tsx";
import { Budget } from "./budget.tsx";
import { CompareSection } from "./compare-section.tsx";
import { ModelFacts } from "./model-facts.tsx";
import { PruneOutcome } from "./prune-outcome.tsx";
import { type Deployment, useDeployment } from "./use-deployment.ts";

function DeployPage() {
  const deployment = useDeployment();
  const { models, outcome, measured, jobs, measure } = deployment;
  const busy = jobs.running !== undefined;
  const [first, other] = models;
  const second = other ?? outcome?.facts;
  return (
    <>
      <OpenSection of={deployment} />
      {first && (
        <section class="card" aria-labelledby="facts">
          <h2 id="facts">2. What it is</h2>
          <div class="columns two">
            {models.map((facts) => (
              <ModelFacts key={facts.name} of={facts} />
            ))}
          </div>
        </section>
      )}
      {first && !other && <PruneSection of={deployment} />}
      {first && second && (
        <CompareSection
          step={other ? 3 : 4}
          names={[first.name, second.name]}
          measured={measured}
          disabled={busy}
          onMeasure={(place) => void measure(place)}
        >
          {jobs.status("measure")}
        </CompareSection>
      )}
    </>
  );
}

interface SectionProps {
  readonly of: Deployment;
}

function OpenSection({ of: { jobs, open, openExample } }: SectionProps) {
  const busy = jobs.running !== undefined;
  return (
    <section class="card" aria-labelledby="open">
      <h2 id="open">1. Drop a model</h2>
      <FileDrop
        label="An ONNX file, or two to compare; with their external data, if they have any"
        hint="The files stay in this page. Two models with external data: drop their folders."
        disabled={busy}
        onFiles={(files) => void open(files)}
      />
      <div class="row">
        <button type="button" disabled={busy} onClick={() => void openExample()}>
          Take the example
        </button>
        <span class="hint">A convolutional network with drawn weights, made here.</span>
      </div>
      {jobs.status("open")}
    </section>
  );
}

function PruneSection({
  of: { models, request, setRequest, outcome, changedSince, jobs, prune },
}: SectionProps) {
  const before = models[0]!;
  return (
    <section class="card" aria-labelledby="budget">
      <h2 id="budget">3. Choose a budget</h2>
      <Budget facts={before} request={request} onChange={setRequest} />
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={jobs.running !== undefined || request.kinds.length === 0}
          onClick={() => void prune()}
        >
          Prune
        </button>
        {outcome && (
          <DownloadButton
            label={`Download ${outcome.facts.name}`}
            name={outcome.facts.name}
            content={async () => outcome.file}
          />
        )}
      </div>
      {jobs.status("prune")}
      {changedSince && (
        <Notice>
          The settings have changed since: the table and the download are of those before. Prune again for
          those of now.
        </Notice>
      )}
      {outcome && <PruneOutcome before={before} outcome={outcome} />}
    </section>
  );
}

showPage(
  "deploy",
  "Prune an ONNX model and ship it",
  "Drop a model: see what of it can be removed, choose a budget, get a smaller file that computes what the masked model computes, and measure both here.",
  DeployPage,
);
