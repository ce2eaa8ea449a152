import { Notice } from "../ui/controls.tsx";
import { showPage } from "../ui/shell.tsx";
import { HeadsSection } from "./heads-section.tsx";
import { LearnSection } from "./learn-section.tsx";
import { PickSection } from "./pick-section.tsx";
import { RemovalSection } from "./removal-section.tsx";
import { useHeads } from "./use-heads.ts";

function HeadsPage() {
  const all = useHeads();
  const { jobs, busy, source, facts, heads, off, texts, setTexts, moments, learned, removal } = all;
  return (
    <>
      <PickSection disabled={jobs.running !== undefined} onPick={(chosen) => void all.open(chosen)}>
        {jobs.status("pick")}
        {all.lost && jobs.running !== "pick" && (
          <Notice>The model below is gone with the worker that held it: open one to go on.</Notice>
        )}
      </PickSection>
      {facts && <HeadsSection of={all} facts={facts} />}
      {facts && (
        <LearnSection
          key={`${source} ${facts.name}`}
          texts={texts}
          onTexts={setTexts}
          hasOwnTexts={all.hasOwnTexts}
          builtIn={source === "built-in"}
          heads={heads.length}
          layers={facts.layers.length}
          disabled={busy}
          moments={moments}
          outcome={jobs.running === "learn" ? undefined : learned}
          onLearn={(request) => void all.learn(request)}
        >
          {jobs.status("learn")}
        </LearnSection>
      )}
      {facts && (
        <RemovalSection
          facts={facts}
          off={off}
          disabled={busy}
          outcome={removal}
          turnedSince={all.turnedSince}
          learnedSince={all.learnedSince}
          onRemove={() => void all.remove()}
          zip={all.zip}
        >
          {jobs.status("remove")}
        </RemovalSection>
      )}
    </>
  );
}

showPage(
  "heads",
  "Prune the heads of a transformer",
  "Open a model of transformers.js in this page, see what its attention heads are worth, turn them off, learn which can go, remove them, and take the smaller model with you.",
  HeadsPage,
);
