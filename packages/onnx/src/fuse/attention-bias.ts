import type { Value } from "../graph/graph.ts";
import { lowest } from "../training-form/attention-core.ts";
import type { PatternReader } from "../training-form/pattern.ts";
import type { ScoreStep } from "./attention-scores.ts";
import type { AxisAtoms, Layout } from "./axis-layout.ts";
import { isMiss, type Miss, miss } from "./miss.ts";
import type { NodeEmitter } from "./node-emitter.ts";

/** What an operator does to scores: it multiplies them by a number, and adds a bias that is made on demand. */
export interface ScoreForm {
  readonly scale: number;
  readonly bias: BiasForm | undefined;
}

/** How a bias is computed; equal keys compute the same. */
export interface BiasForm {
  readonly key: string;
  readonly make: (emit: NodeEmitter, stem: string) => Value;
}

/** Below this a score is lost in a float32: adding it and putting it in the score's place is the same. */
const absorbing = -1e30;

/**
 * The steps from a product to its softmax as `scale · product + bias`.
 *
 * @param isInside whether a value depends on the product
 */
export function scoreForm(
  pattern: PatternReader,
  atoms: AxisAtoms,
  steps: readonly ScoreStep[],
  isInside: (value: Value) => boolean,
): ScoreForm | Miss {
  let form: ScoreForm = { scale: 1, bias: undefined };
  for (const [i, step] of steps.entries()) {
    const next = applied(pattern, atoms, form, step, { isInside, isLast: i === steps.length - 1 });
    if (isMiss(next)) return next;
    form = next;
  }
  return form;
}

interface Place {
  readonly isInside: (value: Value) => boolean;
  /** Whether nothing is done to the scores after the step. */
  readonly isLast: boolean;
}

function applied(
  pattern: PatternReader,
  atoms: AxisAtoms,
  { scale, bias }: ScoreForm,
  step: ScoreStep,
  { isInside, isLast }: Place,
): ScoreForm | Miss {
  if (step.kind === "scale") {
    const { factor } = step;
    return { scale: scale * factor, bias: bias && factor !== 1 ? scaledBias(bias, factor) : bias };
  }
  if (step.kind === "floor") return { scale, bias: bias && floorBias(bias, step.lowest) };
  const leaf = leafOf(pattern, atoms, step, isInside);
  if (isMiss(leaf)) return leaf;
  if (step.kind !== "fill") {
    const added = step.kind === "add" ? leaf : scaledBias(leaf, -1);
    return { scale, bias: bias ? sumBias(bias, added) : added };
  }
  // A filler that is not absorbing competes with what a later mask hides.
  if (step.fill > -1e4 || (step.fill > absorbing && !isLast))
    return miss(`its mask puts ${step.fill} in the place of scores, which is not the same as adding it`);
  const fill = step.fill > absorbing ? lowest : step.fill;
  return { scale, bias: filledBias(leaf, { fill, keeps: step.keeps }, bias) };
}

const scaledBias = (bias: BiasForm, factor: number): BiasForm => ({
  key: `(${bias.key} * ${factor})`,
  make: (emit, stem) => emit.value(stem, "Mul", [bias.make(emit, stem), emit.float(factor)]),
});

const floorBias = (bias: BiasForm, number: number): BiasForm => ({
  key: `max(${bias.key}, ${number})`,
  make: (emit, stem) => emit.value(stem, "Max", [bias.make(emit, stem), emit.float(number)]),
});

const sumBias = (a: BiasForm, b: BiasForm): BiasForm => ({
  key: `(${a.key} + ${b.key})`,
  make: (emit, stem) => emit.value(stem, "Add", [a.make(emit, stem), b.make(emit, stem)]),
});

const filledBias = (
  condition: BiasForm,
  { fill, keeps }: { readonly fill: number; readonly keeps: boolean },
  inner: BiasForm | undefined,
): BiasForm => ({
  key: `where(${condition.key}, ${keeps}, ${fill}, ${inner?.key ?? 0})`,
  make: (emit, stem) => {
    const [kept, filler] = [inner?.make(emit, stem) ?? emit.float(0), emit.float(fill)];
    return emit.value(stem, "Where", [
      condition.make(emit, stem),
      ...(keeps ? [kept, filler] : [filler, kept]),
    ]);
  },
});

/** A value that takes part in a bias, before it is spread over axes on which it is the same. */
function leafOf(
  pattern: PatternReader,
  atoms: AxisAtoms,
  { mask, layout }: { readonly mask: Value; readonly layout: Layout },
  isInside: (value: Value) => boolean,
): BiasForm | Miss {
  let value = pattern.source(mask);
  for (let node = pattern.producer(value, "Expand"); node; node = pattern.producer(value, "Expand"))
    value = pattern.source(node.inputs[0]!);
  if (isInside(value)) return miss("its mask is computed from its scores");
  const shape = pattern.inference.types.get(value)?.shape;
  if (!shape) return miss(`the shape of its mask "${value.name}" is not known`);
  const axes = atoms.resolve(layout);
  const isSplit = axes.length === 4;
  const lead = shape.slice(0, -2);
  if (!isSplit && lead.some((size) => size !== 1))
    return miss(`its mask "${value.name}" has batch and heads on one axis`);
  if (lead.length > 2) return miss(`its mask "${value.name}" has more than four axes`);
  // Without an axis of heads the last two axes are the same ones.
  return { key: value.name, make: () => value };
}
