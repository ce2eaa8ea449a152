import type { LearnProgress, Quality, SaveProgress } from "@dgate/transformers";
import type { Context } from "../io/context.ts";
import type { Progress } from "../io/terminal.ts";

/** What transformers.js tells while it downloads, as far as it is used here. */
interface Download {
  readonly status?: string;
  readonly file?: string;
  readonly progress?: number;
}

/** A bar of what is downloaded. After Ctrl-C its error ends the download. */
export function tellLoading({ progress, signal }: Context): (download: Download) => void {
  return ({ status, file, progress: percent }) => {
    if (signal.aborted) throw new Error("stopped");
    if (status === "progress" && file !== undefined && percent !== undefined) {
      progress.bar(percent / 100, `reading ${file}`);
    }
  };
}

const phases: Readonly<Record<LearnProgress["phase"], string>> = {
  encode: "encoding the examples",
  score: "scoring the dense model",
  gate: "learning gates",
  finish: "training what stays",
  measure: "pruning, scoring and timing",
};

/** A line for every phase and score, a bar for the steps. */
export function tellLearning(progress: Progress): (told: LearnProgress) => void {
  let last = "";
  return ({ phase, step, steps, round, loss, lambda, active, quality }) => {
    const name = `${phases[phase]}${round > 1 ? `, round ${round}` : ""}`;
    if (name !== last) {
      progress.bar(1, "");
      progress.line(`${name} (step ${step} of ${steps})`);
    }
    last = name;
    if (quality) progress.line(`weakest groups off: ${qualityText(quality)}`);
    if (loss === undefined) return;
    const parts = [
      `step ${step} of ${steps}`,
      `loss ${loss.toPrecision(3)}`,
      ...(active === undefined ? [] : [`${(100 * active).toFixed(0)} % alive`]),
      ...(lambda === undefined || phase !== "gate" ? [] : [`λ ${lambda.toExponential(1)}`]),
    ];
    progress.bar(Math.min(step / steps, 0.999), parts.join(", "));
  };
}

/** A line for what takes long. */
export function tellSaving(progress: Progress): (told: SaveProgress) => void {
  return ({ phase, what }) => {
    if (phase === "quantize" || phase === "fuse")
      progress.line(`${phase === "fuse" ? "fusing" : "quantizing"} ${what}`);
    if (phase === "check") progress.line(`opening what was written: ${what}`);
  };
}

/** `accuracy 91.2 %, loss 0.0312` */
const qualityText = (quality: Quality): string =>
  Object.entries(quality)
    .map(([name, value]) => `${name} ${qualityFigure(name, value)}`)
    .join(", ");

/** Fractions of the examples as per cent, others as they are. */
export const qualityFigure = (name: string, value: number): string =>
  name === "accuracy" || name === "agreement" ? `${(100 * value).toFixed(1)} %` : value.toPrecision(4);
