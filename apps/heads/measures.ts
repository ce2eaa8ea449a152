import type { Quality } from "./heads.ts";

/** A tensor of transformers.js, as far as it is read here. */
interface OutputTensor {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A pipeline of transformers.js for texts, as far as it is used here. */
export interface TextPipeline {
  (input: string, options?: object): Promise<unknown>;
  readonly tokenizer: (texts: readonly string[], options: object) => Promise<object>;
  readonly model: (inputs: object) => Promise<Readonly<Record<string, OutputTensor | undefined>>>;
}

/** What a model answers to texts: the classes or tokens that it finds likeliest, or its normalised mean state. */
export interface Answers {
  readonly kind: Quality["kind"];
  readonly rows: readonly ArrayLike<number>[];
}

/** A text, and its class where it is known. */
export interface KnownText {
  readonly text: string;
  readonly label?: number;
}

const batchSize = 32;

/**
 * Runs a model on texts.
 *
 * @param step is awaited between two runs; what it throws ends them
 * @returns undefined for a model that does not answer to a text alone
 */
export async function answersOf(
  run: TextPipeline,
  texts: readonly KnownText[],
  classifies: boolean,
  step: (done: number) => Promise<void>,
): Promise<Answers | undefined> {
  const rows: ArrayLike<number>[] = [];
  let kind: Quality["kind"] = "class";
  // Of a classifier padding changes nothing; tokens and states would have to leave it out.
  const size = classifies ? batchSize : 1;
  for (let at = 0; at < texts.length; at += size) {
    await step(at / texts.length);
    const batch = texts.slice(at, at + size).map(({ text }) => text);
    const outputs = await run.model(await run.tokenizer(batch, { padding: classifies, truncation: true }));
    const found = read(outputs);
    if (!found) return undefined;
    kind = found.kind;
    rows.push(...found.rows);
  }
  return { kind, rows };
}

function read(outputs: Readonly<Record<string, OutputTensor | undefined>>): Answers | undefined {
  const logits = outputs["logits"];
  if (logits?.dims.length === 2) return { kind: "class", rows: largest(logits).map((best) => [best]) };
  if (logits?.dims.length === 3) return { kind: "token", rows: [largest(logits)] };
  const states = outputs["last_hidden_state"] ?? outputs["token_embeddings"];
  return states?.dims.length === 3 ? { kind: "cosine", rows: [meanState(states)] } : undefined;
}

/** Where the last axis is largest, for all others. */
function largest({ dims, data }: OutputTensor): number[] {
  const width = dims.at(-1)!;
  return Array.from({ length: data.length / width }, (_, row) => {
    let best = 0;
    for (let i = 1; i < width; i++) if (data[row * width + i]! > data[row * width + best]!) best = i;
    return best;
  });
}

/** Mean over the tokens, of length 1. */
function meanState({ dims, data }: OutputTensor): Float64Array {
  const sum = new Float64Array(dims.at(-1)!);
  for (let i = 0; i < data.length; i++) sum[i % sum.length]! += data[i]!;
  const norm = Math.hypot(...sum) || 1;
  return sum.map((value) => value / norm);
}

/** How near answers are to those of the dense model, and how often both are right. */
export function qualityOf(dense: Answers, now: Answers, texts: readonly KnownText[]): Quality {
  const near = now.rows.map((row, i) =>
    dense.kind === "cosine" ? product(row, dense.rows[i]!) : equal(row, dense.rows[i]!),
  );
  const labelled = texts.flatMap(({ label }, i) => (label === undefined ? [] : [{ label, i }]));
  const right = ({ rows }: Answers): number =>
    labelled.filter(({ label, i }) => rows[i]![0] === label).length / labelled.length;
  return {
    kind: dense.kind,
    agreement: near.reduce((a, b) => a + b, 0) / near.length,
    texts: texts.length,
    ...(dense.kind === "class" &&
      labelled.length > 0 && { accuracy: { dense: right(dense), now: right(now) } }),
  };
}

const product = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).filter((value, i) => value === b[i]).length / Math.max(1, a.length);
