import { Notice } from "../ui/controls.tsx";
import { DownloadButton } from "../ui/download-button.tsx";
import { PrunedSummary } from "./pruned-summary.tsx";
import { totalsOf } from "./training.ts";
import type { Training } from "./use-training.ts";

/** Where more than this part of the groups is alive, the reader may have hoped for more. */
const mostOf = 0.95;

/** Removal of what died, and the downloads. */
export function PruneSection({
  of: { jobs, api, moments, trained, summary, prune },
}: {
  readonly of: Training;
}) {
  const last = moments.at(-1);
  const { active, groups } = trained && last ? totalsOf(last) : { active: 0, groups: 0 };
  return (
    <section class="card" aria-labelledby="prune">
      <h2 id="prune">3. Remove them for real</h2>
      <p>
        The dead groups are cut out with everything that hangs on them; the smaller model is exported to ONNX
        and has to compute in onnxruntime-web what the masked one does.
      </p>
      {active > mostOf * groups && (
        <Notice>
          {active === groups ? "No group" : `Only ${groups - active} of ${groups} groups`} died. For more of
          them train anew with a larger λ, or for more epochs.
        </Notice>
      )}
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={jobs.running !== undefined || !trained}
          onClick={() => void prune()}
        >
          Prune
        </button>
        {!trained && <span class="hint">What was trained is gone: train anew in step 1.</span>}
        {summary && (
          <>
            <DownloadButton label="Download model.onnx" name="model.onnx" content={() => api().onnx()} />
            <DownloadButton
              label="Download the tfjs model"
              name="tfjs-model.zip"
              content={() => api().tfjsZip()}
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
      {jobs.status("prune")}
      {summary && <PrunedSummary of={summary} />}
    </section>
  );
}
