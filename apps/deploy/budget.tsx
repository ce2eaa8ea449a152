import type { SiteKind } from "@dgate/onnx";
import { Choice, Slider } from "../ui/controls.tsx";
import { percent } from "../ui/format.ts";
import type { ModelFacts, PruneRequest } from "./deployment.ts";

const budgetNames: readonly (readonly [PruneRequest["budget"], string])[] = [
  ["macs", "multiply–adds"],
  ["parameters", "parameters"],
  ["bytes", "bytes of the weights"],
  ["keep", "groups of each site"],
];

/** How much may stay, and of what. */
export function Budget({
  facts,
  request,
  onChange,
}: {
  readonly facts: ModelFacts;
  readonly request: PruneRequest;
  readonly onChange: (request: PruneRequest) => void;
}) {
  const change = (part: Partial<PruneRequest>): void => onChange({ ...request, ...part });
  const kinds = facts.sites.filter(({ prunable }) => prunable > 0).map(({ kind }) => kind);
  const toggle = (kind: SiteKind): void =>
    change({
      kinds: request.kinds.includes(kind)
        ? request.kinds.filter((each) => each !== kind)
        : [...request.kinds, kind],
    });
  return (
    <>
      <div class="fields">
        <Choice
          label="Budget"
          value={request.budget}
          options={budgetNames}
          onChange={(budget) => change({ budget })}
        />
        <Slider
          label="Stays"
          value={request.fraction}
          min={0.1}
          max={0.95}
          step={0.05}
          show={(x) => percent(x, 0)}
          onChange={(fraction) => change({ fraction })}
        />
        <Choice
          label="Ranked by"
          value={request.criterion}
          options={[
            ["l2", "norm of the group's own weights"],
            ["l2-coupled", "norm of all that goes with it"],
            ["random", "chance, to compare with"],
          ]}
          onChange={(criterion) => change({ criterion })}
        />
      </div>
      <fieldset class="row">
        <legend>What may go</legend>
        {kinds.map((kind) => (
          <label key={kind}>
            <input type="checkbox" checked={request.kinds.includes(kind)} onChange={() => toggle(kind)} />{" "}
            {kind}
          </label>
        ))}
      </fieldset>
      <p class="hint">
        Norms say little about a model that was not trained to be pruned: train with gates (
        <a href="../train/">Train</a>, <a href="../heads/">Heads</a>) to keep its answers. Sizes and speed are
        true either way.
      </p>
    </>
  );
}
