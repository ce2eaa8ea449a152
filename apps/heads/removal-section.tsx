import type { ComponentChildren } from "preact";
import { Notice } from "../ui/controls.tsx";
import { DownloadButton } from "../ui/download-button.tsx";
import { FiguresTable } from "../ui/figures-table.tsx";
import { bytes, count, percent, short } from "../ui/format.ts";
import type { ModelFacts, RemovalOutcome } from "./heads.ts";
import { qualityNames, qualityValue } from "./live-panel.tsx";

interface RemovalSectionProps {
  readonly facts: ModelFacts;
  readonly off: number;
  readonly disabled: boolean;
  readonly outcome: RemovalOutcome | undefined;
  /** Heads that were turned on or off since `outcome`. */
  readonly turnedSince: number;
  /** Whether there was learning since `outcome`. */
  readonly learnedSince: boolean;
  readonly onRemove: () => void;
  /** The model folder as a zip. */
  readonly zip: (tell: (part: number) => void) => Promise<Blob>;
  readonly children: ComponentChildren;
}

/** Removal, the comparison, and the download. */
export function RemovalSection({
  facts,
  off,
  disabled,
  outcome,
  turnedSince,
  learnedSince,
  onRemove,
  zip,
  children,
}: RemovalSectionProps) {
  return (
    <section class="card" aria-labelledby="remove">
      <h2 id="remove">4. Remove them for real</h2>
      <p>
        What is off is cut out of the weights. The result has to compute what the masked model does; it is
        written as a model folder, and each of its files is opened with <code>pipeline()</code> and measured
        beside the dense model.
      </p>
      <div class="row">
        <button type="button" class="primary" disabled={disabled || off === 0} onClick={onRemove}>
          {off === 0 ? "Remove heads" : off === 1 ? "Remove 1 head" : `Remove ${off} heads`}
        </button>
        {outcome && (
          <DownloadButton
            label="Download the model folder (zip)"
            name={`${facts.name.split("/").at(-1)}-pruned.zip`}
            type="application/zip"
            disabled={disabled}
            content={zip}
          />
        )}
        {off === 0 && (
          <span class="hint">All heads are on: turn some off in step 2, or learn which in step 3.</span>
        )}
      </div>
      {children}
      {outcome && (learnedSince || turnedSince > 0) && (
        <Notice>
          {learnedSince
            ? "The model has learned since"
            : turnedSince === 1
              ? "1 head has been turned since"
              : `${turnedSince} heads have been turned since`}
          : the table and the download are of the model as it was before.
          {off > 0 && " Remove again for that of now."}
        </Notice>
      )}
      {outcome && <Comparison facts={facts} outcome={outcome} />}
    </section>
  );
}

function Comparison({ facts, outcome }: { readonly facts: ModelFacts; readonly outcome: RemovalOutcome }) {
  const { variants, parameters, macs, kept } = outcome;
  const left = kept.reduce((sum, layer) => sum + layer.length, 0);
  const all = facts.layers.reduce((sum, { heads }) => sum + heads, 0);
  const both = ([dense, pruned]: readonly [number, number]): readonly string[] =>
    variants.map((_, i) => count(i === 0 ? dense : pruned));
  const quality = variants[0]?.quality;
  const rows: readonly (readonly [name: string, values: readonly string[]])[] = [
    ["heads", both([all, left])],
    ["parameters", both(parameters)],
    ["multiply–adds", both(macs)],
    ["ONNX file", variants.map((variant) => bytes(variant.bytes))],
    ...(quality
      ? [
          [
            qualityNames[quality.kind],
            variants.map((variant) => (variant.quality ? qualityValue(variant.quality) : "–")),
          ] as const,
        ]
      : []),
    ...(quality?.accuracy
      ? [["right", variants.map((variant) => percent(variant.quality?.accuracy?.now ?? 0))] as const]
      : []),
    ["latency, your text", variants.map(({ latencyMs }) => `${latencyMs.toFixed(2)} ms`)],
    ["times as fast", variants.map(({ latencyMs }) => `${(variants[0]!.latencyMs / latencyMs).toFixed(2)}×`)],
  ];
  return (
    <>
      <FiguresTable label="Dense and pruned" columns={variants.map(({ name }) => name)} rows={rows} />
      <p class="hint">
        {quality && `Quality on ${quality.texts} texts held out. `}Multiply–adds are for{" "}
        {Object.entries(outcome.dims)
          .map(([name, size]) => `${name} ${size}`)
          .join(", ")}
        . Latencies are medians of {outcome.rounds} runs in turns, {facts.threads}{" "}
        {facts.threads === 1 ? "thread" : "threads"} of WASM. Masked and pruned outputs differ by at most{" "}
        {short(outcome.maxAbsDiff)} on random inputs. On the command line it is <code>dgate learn</code>.
      </p>
      {outcome.notes.map((note) => (
        <Notice key={note}>{note}</Notice>
      ))}
      <details>
        <summary>
          {outcome.files.length} files, {bytes(outcome.files.reduce((sum, [, size]) => sum + size, 0))}
        </summary>
        <ul>
          {outcome.files.map(([path, size]) => (
            <li key={path}>
              {path}: {bytes(size)}
            </li>
          ))}
        </ul>
      </details>
    </>
  );
}
