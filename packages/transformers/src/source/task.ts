import { DgateError } from "@dgate/core";

/** What a model is for, as far as it decides how its inputs are made and its outputs compared. */
export interface TaskKind {
  /** The task's name in `pipeline(task, …)`. */
  readonly task: string;
  /** What a text or image becomes. */
  readonly input: "text" | "image";
  /** `classes`: one distribution an example; `tokens`: one a token; `hidden`: states; `language`: the next token; `seq2seq`: an encoder and a decoder. */
  readonly output: "classes" | "tokens" | "hidden" | "language" | "seq2seq";
}

/** Architectures by the end of their name, the longest first. */
const architectures: readonly (readonly [string, TaskKind])[] = [
  ["ForSequenceClassification", { task: "text-classification", input: "text", output: "classes" }],
  ["ForTokenClassification", { task: "token-classification", input: "text", output: "tokens" }],
  ["ForQuestionAnswering", { task: "question-answering", input: "text", output: "tokens" }],
  ["ForMaskedLM", { task: "fill-mask", input: "text", output: "tokens" }],
  ["ForCausalLM", { task: "text-generation", input: "text", output: "language" }],
  ["LMHeadModel", { task: "text-generation", input: "text", output: "language" }],
  ["ForConditionalGeneration", { task: "text2text-generation", input: "text", output: "seq2seq" }],
  ["ForImageClassification", { task: "image-classification", input: "image", output: "classes" }],
  ["Model", { task: "feature-extraction", input: "text", output: "hidden" }],
];

/** Image models whose architecture is a bare `…Model`. */
const imageModels = /^(vit|deit|dinov2|dinov3|beit|swin|convnext|clip_vision)/;

/**
 * The task of a model, from the architecture that its config names or from a task that the caller gives.
 *
 * @throws DgateError `UNSUPPORTED` naming the architecture, `OPTION` for a task that is not known
 */
export function taskOf(
  config: Readonly<Record<string, unknown>>,
  given: string | undefined,
  name: string,
): TaskKind {
  const listed = config["architectures"];
  const architecture = Array.isArray(listed) && typeof listed[0] === "string" ? listed[0] : undefined;
  const found = architectures.find(([end]) => architecture?.endsWith(end))?.[1];
  if (given !== undefined) {
    if (found?.task === given) return found;
    const known = architectures.find(([, kind]) => kind.task === given)?.[1] ?? otherTasks[given];
    if (known) return known;
    throw new DgateError(
      "OPTION",
      `openHeadGates: task "${given}" is not known; there are ${[...new Set(architectures.map(([, { task }]) => task)), ...Object.keys(otherTasks)].join(", ")}.`,
    );
  }
  const type = config["model_type"];
  if (found?.output === "hidden" && typeof type === "string" && imageModels.test(type)) {
    return { task: "image-feature-extraction", input: "image", output: "hidden" };
  }
  if (found) return found;
  throw new DgateError(
    "UNSUPPORTED",
    `openHeadGates: ${name}: the architecture ${architecture ?? "(none is named in config.json)"} is not known; name its task: { task: "text-classification" }, say.`,
  );
}

const otherTasks: Readonly<Record<string, TaskKind>> = {
  "sentiment-analysis": { task: "sentiment-analysis", input: "text", output: "classes" },
  embeddings: { task: "feature-extraction", input: "text", output: "hidden" },
  "image-feature-extraction": { task: "image-feature-extraction", input: "image", output: "hidden" },
  summarization: { task: "summarization", input: "text", output: "seq2seq" },
  translation: { task: "translation", input: "text", output: "seq2seq" },
};
