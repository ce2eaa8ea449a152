import { DgateError } from "@dgate/core";
import { checkLoss } from "../autodiff/gradients.ts";
import type { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import type { Value, ValueType } from "../graph/types.ts";

/** What a loss is emitted with. */
export interface LossContext {
  readonly ops: GraphDiffOps;
  /**
   * An output of the model by name, or its only one.
   * @throws DgateError `OPTION` if there is none of that name, or several and no name
   */
  readonly output: (name: string | undefined) => Value;
  /** An input of the model, or a new one of this type that each batch has to give. */
  readonly input: (name: string, type: ValueType) => Value;
}

/** A loss as nodes of the training graph. */
export interface EmittedLoss {
  /** A single number, the mean over the batch. */
  readonly loss: Value;
  /** Where the backward pass begins: ∂loss/∂value for outputs of the model. */
  readonly seeds: ReadonlyMap<Value, Value>;
  /** An input that holds classes: from 0 to below `classes`, or `ignore`. */
  readonly labels?: LabelRange;
}

/** What an input of class numbers may hold. */
export interface LabelRange {
  readonly input: string;
  readonly classes: number;
  readonly ignore: number;
}

/** What training makes small. Made by `crossEntropy`, `nextToken`, `meanSquaredError`, `distill` and `outputLoss`. */
export interface Loss {
  readonly name: string;
  /** Outputs of the dense model that each batch is to be given beside its own inputs, as `OUTPUT.teacher`. */
  readonly teacher?: readonly (string | undefined)[];
  emit(context: LossContext): EmittedLoss;
}

/** The input that holds what the dense model gave. */
export const teacherName = (output: string): string => `${output}.teacher`;

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** Output with the logits `[…, classes]`; may be left out where the model has one output. */
  readonly logits?: string;
  /** Input of each batch with the classes `[…]`, int64 (default `labels`). */
  readonly labels?: string;
  /** Positions of this label do not count (default −100). */
  readonly ignore?: number;
}

/**
 * Mean over the labels of `−log softmax(logits)[label]`.
 *
 *     ∂/∂logits = (softmax(logits) − onehot(label)) / count
 */
export function crossEntropy({ logits, labels = "labels", ignore = -100 }: CrossEntropyOptions = {}): Loss {
  return {
    name: "crossEntropy",
    emit(context) {
      const { ops } = context;
      const scores = context.output(logits);
      const shape = ops.shape(scores);
      const given = context.input(labels, { dtype: "int64", ...(shape && { shape: shape.slice(0, -1) }) });
      return {
        ...classify(ops, scores, given, scores, ignore),
        labels: labelRange(ops, labels, scores, ignore),
      };
    },
  };
}

/** Options of `nextToken`. */
export interface NextTokenOptions extends Omit<CrossEntropyOptions, "labels"> {
  /** Input with the tokens `[batch, positions]`, which are the labels too, one position on (default `input_ids`). */
  readonly tokens?: string;
  /** Input with 1 for tokens and 0 for padding; by default every token counts. */
  readonly mask?: string;
}

/** Cross-entropy of a language model: the logits `[batch, positions, vocabulary]` of a position are for the token after it. */
export function nextToken({
  logits,
  tokens = "input_ids",
  mask,
  ignore = -100,
}: NextTokenOptions = {}): Loss {
  return {
    name: "nextToken",
    emit(context) {
      const { ops } = context;
      const whole = context.output(logits);
      const rank = ops.rank(whole) ?? 3;
      if (rank !== 3) {
        throw new DgateError(
          "SHAPE",
          `nextToken: "${whole.name}" has ${rank} axes, expected [batch, positions, vocabulary]; take crossEntropy for one label a row.`,
        );
      }
      const ids = context.input(tokens, { dtype: "int64", shape: ["batch", "positions"] });
      const scores = ops.slice(whole, 1, 0, -1);
      const wanted = ops.cast(ops.slice(ids, 1, 1), "int64");
      if (mask === undefined) {
        return {
          ...classify(ops, scores, wanted, whole, ignore),
          labels: labelRange(ops, tokens, whole, ignore),
        };
      }
      const flags = context.input(mask, { dtype: "int64", shape: ["batch", "positions"] });
      const real = ops.cast(ops.slice(flags, 1, 1), "bool");
      return classify(
        ops,
        scores,
        ops.where(real, wanted, ops.constant("int64", [], [ignore])),
        whole,
        ignore,
      );
    },
  };
}

const labelRange = (ops: GraphDiffOps, input: string, scores: Value, ignore: number): LabelRange => ({
  input,
  classes: classesOf(ops, scores, scores),
  ignore,
});

function classesOf(ops: GraphDiffOps, scores: Value, whole: Value): number {
  const classes = ops.shape(scores)?.at(-1);
  if (typeof classes === "number") return classes;
  throw new DgateError(
    "UNSUPPORTED",
    `the number of classes of "${whole.name}" is not known; declare its shape in the model.`,
  );
}

/** Cross-entropy of logits that are `whole`, or all its positions but the last. */
function classify(
  ops: GraphDiffOps,
  scores: Value,
  labels: Value,
  whole: Value,
  ignore: number,
): EmittedLoss {
  const classes = classesOf(ops, scores, whole);
  // WebGPU compares int32 but not int64.
  const ids = ops.cast(labels, "int32");
  const counts = ops.cast(
    ops.call("Not", [ops.call("Equal", [ids, ops.constant("int32", [], [ignore])])]),
    ops.dtype(scores),
  );
  const total = ops.call("Max", [ops.sum(counts, undefined, false), ops.scalar(1, scores)]);
  const weight = ops.unsqueeze(ops.div(counts, total), [-1]);
  const range = ops.constant(
    "int32",
    [classes],
    Array.from({ length: classes }, (_, i) => i),
  );
  const hot = ops.call("Equal", [ops.unsqueeze(ids, [-1]), range]);
  const { probabilities, logNormaliser, shifted } = softmaxOf(ops, scores);
  const own = ops.sum(ops.maskedBy(hot, shifted), [-1]);
  const loss = ops.sum(ops.mul(ops.sub(logNormaliser, own), weight), undefined, false);
  const slope = ops.mul(ops.sub(probabilities, ops.cast(hot, ops.dtype(scores))), weight);
  return { loss, seeds: new Map([[whole, padded(ops, slope, whole, scores)]]) };
}

/** The slope of logits of which the last position was left out. */
function padded(ops: GraphDiffOps, slope: Value, whole: Value, scores: Value): Value {
  if (whole === scores) return slope;
  return ops.call("Pad", [slope, ops.int64([0, 0, 0, 0, 1, 0]), ops.scalar(0, slope)]);
}

/** Softmax over the last axis in plain operators, which every provider has; `log Σ e^x` is `logNormaliser` plus the maximum. */
function softmaxOf(
  ops: GraphDiffOps,
  x: Value,
): { readonly probabilities: Value; readonly logNormaliser: Value; readonly shifted: Value } {
  const shifted = ops.sub(x, ops.reduce("ReduceMax", x, [-1], true));
  const powers = ops.exp(shifted);
  const sums = ops.sum(powers, [-1]);
  return { probabilities: ops.div(powers, sums), logNormaliser: ops.log(sums), shifted };
}

/** Options of `meanSquaredError`. */
export interface SquaredErrorOptions {
  /** Output to compare; may be left out where the model has one. */
  readonly output?: string;
  /** Input of each batch that it is compared with, of the same shape (default `targets`). */
  readonly targets?: string;
}

/** Mean over all elements of `(output − target)²`. */
export function meanSquaredError({ output, targets = "targets" }: SquaredErrorOptions = {}): Loss {
  return {
    name: "meanSquaredError",
    emit(context) {
      const value = context.output(output);
      return squares(context.ops, value, context.input(targets, typeOf(context.ops, value)));
    },
  };
}

const typeOf = ({ inference }: GraphDiffOps, value: Value): ValueType =>
  inference.types.get(value) ?? { dtype: "float32" };

/** @param weight of each row, with 1 as its last size; all count alike without */
function squares(ops: GraphDiffOps, value: Value, target: Value, weight?: Value): EmittedLoss {
  const difference = ops.sub(value, target);
  const weighted = weight ? ops.mul(difference, weight) : difference;
  const sizeOf = (x: Value): Value => ops.cast(ops.call("Size", [x]), ops.dtype(value));
  const rows = weight && ops.div(ops.sum(weight, undefined, false), sizeOf(weight));
  const count = rows ? ops.call("Max", [ops.mul(sizeOf(value), rows), ops.scalar(1, value)]) : sizeOf(value);
  const loss = ops.div(ops.sum(ops.mul(difference, weighted), undefined, false), count);
  const slope = ops.mul(weighted, ops.div(ops.scalar(2, value), count));
  return { loss, seeds: new Map([[value, slope]]) };
}

/** Options of `distill`. */
export interface DistillOptions {
  /** `kl`: logits, compared as distributions over the last axis; `mse`: any output, element by element. Default `kl`. */
  readonly kind?: "kl" | "mse";
  /** Output to compare; may be left out where the model has one. */
  readonly output?: string;
  /** Softens both distributions of `kl`: softmax(x/T), and the loss times T² (default 1; Hinton et al. 2015). */
  readonly temperature?: number;
  /** Input with 1 for positions that count and 0 for padding: `[batch, positions]`, the output's first axes but never its last. */
  readonly mask?: string;
}

/**
 * The distance from what the dense model gives for the same batch: no labels are needed.
 *
 *     kl: T²·mean Σ p·(log p − log q),  p = softmax(teacher/T), q = softmax(output/T);  ∂/∂output = T·(q − p)/count
 *
 * @throws DgateError `OPTION` for a temperature that is not positive
 */
export function distill({ kind = "kl", output, temperature = 1, mask }: DistillOptions = {}): Loss {
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new DgateError("OPTION", `distill: temperature is ${temperature}, expected a positive number.`);
  }
  return {
    name: `distill-${kind}`,
    teacher: [output],
    emit(context) {
      const { ops } = context;
      const value = context.output(output);
      const teacher = context.input(teacherName(value.name), typeOf(ops, value));
      const flags = mask === undefined ? undefined : rowWeights(context, mask, value);
      if (kind === "mse") return squares(ops, value, teacher, flags && ops.unsqueeze(flags, [-1]));
      return divergence(ops, value, teacher, temperature, flags);
    },
  };
}

/** A mask of an output's first axes, with sizes of 1 for its others but the last. */
function rowWeights({ ops, input }: LossContext, mask: string, output: Value): Value {
  const shape = ops.shape(output);
  const given = input(mask, {
    dtype: "int64",
    ...(shape && { shape: shape.slice(0, Math.min(2, shape.length - 1)) }),
  });
  const flags = ops.cast(given, ops.dtype(output));
  const [rank, own] = [ops.rank(output), ops.rank(flags)];
  if (rank === undefined || own === undefined) return flags;
  return ops.unsqueeze(
    flags,
    Array.from({ length: Math.max(0, rank - 1 - own) }, (_, i) => own + i),
  );
}

function divergence(
  ops: GraphDiffOps,
  value: Value,
  teacher: Value,
  temperature: number,
  flags: Value | undefined,
): EmittedLoss {
  const [own, wanted] = [value, teacher].map((x) => softmaxOf(ops, ops.scale(x, 1 / temperature)));
  const logs = ({ shifted, logNormaliser }: NonNullable<typeof own>): Value =>
    ops.sub(shifted, logNormaliser);
  const terms = ops.sum(ops.mul(wanted!.probabilities, ops.sub(logs(wanted!), logs(own!))), [-1], false);
  const weight = ops.expandLike(flags ?? ops.scalar(1, terms), terms);
  const total = ops.call("Max", [ops.sum(weight, undefined, false), ops.scalar(1, terms)]);
  const share = ops.div(weight, total);
  const loss = ops.scale(ops.sum(ops.mul(terms, share), undefined, false), temperature ** 2);
  const gap = ops.scale(ops.sub(own!.probabilities, wanted!.probabilities), temperature);
  return { loss, seeds: new Map([[value, ops.mul(gap, ops.unsqueeze(share, [-1]))]]) };
}

/** A loss that the model computes itself: an output of one element. */
export function outputLoss(output?: string): Loss {
  return {
    name: "outputLoss",
    emit({ ops, output: find }) {
      const loss = find(output);
      checkLoss(ops, loss, "outputLoss");
      return { loss, seeds: new Map([[loss, ops.expandLike(ops.scalar(1, loss), loss)]]) };
    },
  };
}
