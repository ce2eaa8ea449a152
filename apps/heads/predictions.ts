import type { Prediction } from "./heads.ts";
import type { TextPipeline } from "./measures.ts";

/** One answer of a pipeline, as far as it is shown. */
interface Scored {
  readonly label: string;
  readonly score: number;
}

/** What one form of the model makes of a text. */
export type Answer =
  | { readonly kind: "classes"; readonly classes: readonly Scored[] }
  | { readonly kind: "answers"; readonly text: string }
  | { readonly kind: "state"; readonly state: readonly number[] };

/** Calls a pipeline on a text in the way of its task. */
export async function answerTo(run: TextPipeline, task: string, text: string): Promise<Answer> {
  switch (task) {
    case "text-classification":
    case "sentiment-analysis":
      return { kind: "classes", classes: (await run(text, { top_k: null })) as readonly Scored[] };
    case "feature-extraction": {
      const { data } = (await run(text, { pooling: "mean", normalize: true })) as {
        readonly data: Float32Array;
      };
      return { kind: "state", state: [...data] };
    }
    case "text-generation":
      return { kind: "answers", text: readable(await run(text, { max_new_tokens: 24, do_sample: false })) };
    default:
      return { kind: "answers", text: readable(await run(text)) };
  }
}

/** Both forms side by side. */
export function together(dense: Answer, now: Answer): Prediction {
  if (dense.kind === "classes" && now.kind === "classes") {
    const scores = new Map(now.classes.map(({ label, score }) => [label, score]));
    return {
      kind: "classes",
      classes: dense.classes.map(({ label, score }) => [label, score, scores.get(label) ?? 0]),
    };
  }
  if (dense.kind === "state" && now.kind === "state") {
    return { kind: "cosine", cosine: dense.state.reduce((sum, value, i) => sum + value * now.state[i]!, 0) };
  }
  const textOf = (answer: Answer): string => (answer.kind === "answers" ? answer.text : "");
  return { kind: "answers", dense: textOf(dense), now: textOf(now) };
}

/** What the pipelines of the other tasks give, in a line. */
function readable(output: unknown): string {
  if (Array.isArray(output)) return output.map(readable).join(", ");
  if (typeof output !== "object" || output === null) return String(output);
  // Of a pipeline: read by key, each checked.
  const fields = output as Readonly<Record<string, unknown>>;
  const text = ["generated_text", "summary_text", "translation_text", "token_str"]
    .map((key) => fields[key])
    .find((value) => typeof value === "string");
  const score = typeof fields["score"] === "number" ? ` ${(100 * fields["score"]).toFixed(0)} %` : "";
  if (typeof text === "string") return text.trim() + score;
  return typeof fields["word"] === "string" && typeof fields["entity"] === "string"
    ? `${fields["word"]}: ${fields["entity"]}${score}`
    : JSON.stringify(output);
}
