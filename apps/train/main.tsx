import { useState } from "preact/hooks";
import { Stats } from "../ui/controls.tsx";
import { short } from "../ui/format.ts";
import { showPage } from "../ui/shell.tsx";
import { Compare } from "./compare.tsx";
import { GroupPictures } from "./group-pictures.tsx";
import { LiveCharts } from "./live-charts.tsx";
import { PruneSection } from "./prune-section.tsx";
import { SetUpSection, usual } from "./set-up-section.tsx";
import { type Controls, totalsOf } from "./training.ts";
import { useTraining } from "./use-training.ts";

function TrainPage() {
  const [epochs, setEpochs] = useState(usual["lenet-300-100"].epochs);
  const [controls, setControls] = useState<Controls>({ depth: 3, lambda: usual["lenet-300-100"].lambda });
  const training = useTraining(controls);
  const { jobs, api, moments, trained, summary, control } = training;
  const last = moments.at(-1);
  return (
    <>
      <SetUpSection
        of={training}
        epochs={epochs}
        onEpochs={setEpochs}
        controls={controls}
        onControls={(next) => {
          setControls(next);
          control(next);
        }}
      />
      {last && (
        <section class="card" aria-labelledby="watch">
          <h2 id="watch">2. Watch groups die</h2>
          <Stats
            of={[
              ["D", String(last.depth)],
              ["largest λ", short(last.peakLambda)],
              ["groups left", `${totalsOf(last).active} of ${totalsOf(last).groups}`],
              ["seconds", last.seconds.toFixed(1)],
              ["gap", short(totalsOf(last).gap)],
            ]}
          />
          <GroupPictures sites={last.sites} />
          <LiveCharts moments={moments} epochs={epochs} />
        </section>
      )}
      {(trained || jobs.failed("prune")) && <PruneSection of={training} />}
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
