import type { Graph, Value } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import type { Operands } from "./attention-operands.ts";
import type { FuseContext } from "./fuse-context.ts";
import { isMiss, type Miss, miss } from "./miss.ts";
import type { UnfusedAttention } from "./unfused-attention.ts";

/** One projection of an input to Q, K and V. */
export interface PackedProjection {
  readonly x: Value;
  /** Columns that make Q, K and V. */
  readonly widths: readonly number[];
  /** The weight `[inputs, columns]` and the bias `[columns]`. */
  readonly make: (stem: string) => readonly [weight: Value, bias: Value];
}

/** `x·W + b` with constants. */
interface Projection {
  readonly x: Value;
  readonly weight: Value;
  readonly bias: Value | undefined;
}

/** The weights of Q, K and V side by side, where all three are projections of one input by constants. */
export function packedWeights(
  context: FuseContext,
  { q, k, v }: Operands,
  found: UnfusedAttention,
): PackedProjection | Miss {
  if (v.factor !== 1) return miss("its values are scaled");
  const values = [q.value, k.value, v.value];
  const widths = [found.headDim, found.headDim, found.valueDim].map((dim) => dim * found.heads);
  const whole = wholeProjection(context, values, widths);
  if (whole) return whole;
  const parts = values.map((value) => (value ? projectionOf(context, value) : miss("they are moved first")));
  const failed = parts.find((part) => isMiss(part));
  if (failed && isMiss(failed))
    return miss(
      `Attention projects its input itself, and here Q, K or V is not a projection by constants: ${failed.reason}`,
    );
  const projections = parts.flatMap((part) => (isMiss(part) ? [] : [part]));
  const x = projections[0]!.x;
  if (projections.some((part) => part.x !== x))
    return miss("its queries, keys and values read different inputs");
  return { x, widths, make: (stem) => sideBySide(context, stem, projections, widths) };
}

/** Three parts of one projection, in the order of Q, K and V. */
function wholeProjection(
  context: FuseContext,
  values: readonly (Value | undefined)[],
  widths: readonly number[],
): PackedProjection | undefined {
  const { graph, inference } = context;
  const split = values[0] && graph.producer(values[0]);
  if (split?.op !== "Split" || split.domain !== "" || split.outputs.length !== 3) return undefined;
  if (values.some((value, i) => split.outputs[i] !== value)) return undefined;
  const rank = inference.types.get(split.inputs[0]!)?.shape?.length ?? 0;
  if (frontAxis(intAttribute(split, "axis", 0), rank) !== rank - 1) return undefined;
  const projection = projectionOf(context, split.inputs[0]!);
  if (isMiss(projection)) return undefined;
  const { x, weight, bias } = projection;
  return { x, widths, make: (stem) => [weight, bias ?? zeros(context, stem, widths)] };
}

function projectionOf({ pattern, graph, inference }: FuseContext, from: Value): Projection | Miss {
  const value = pattern.source(from);
  const add = pattern.producer(value, "Add");
  const terms = add?.inputs.map((input) => input && pattern.source(input)) ?? [];
  const bias = terms.find((term) => term && isVector(graph, term));
  const product = pattern.producer(add ? terms.find((term) => term !== bias) : value, "MatMul");
  const [x, weight] = product?.inputs ?? [];
  if (!product || !x || !weight || (add && !bias)) return miss(`"${value.name}" is no MatMul`);
  const data = constantOf(graph, weight);
  if (!data || data.shape.length !== 2 || data.dtype !== "float32")
    return miss(`the weight "${weight.name}" is no constant matrix`);
  if (inference.types.get(x)?.shape?.length !== 3) return miss(`"${x.name}" has another rank than 3`);
  return { x: pattern.source(x), weight, bias };
}

const constantOf = (graph: Graph, value: Value) => (graph.isInput(value) ? undefined : value.data);

const isVector = (graph: Graph, value: Value): boolean => {
  const data = constantOf(graph, value);
  return data?.shape.length === 1 && data.dtype === "float32";
};

function zeros({ emit }: FuseContext, stem: string, widths: readonly number[]): Value {
  const size = widths.reduce((a, b) => a + b, 0);
  return emit.initializer(`${stem}/bias`, tensorOf("float32", [size], new Float32Array(size)));
}

function sideBySide(
  { emit }: FuseContext,
  stem: string,
  projections: readonly Projection[],
  widths: readonly number[],
): readonly [Value, Value] {
  const inputs = projections[0]!.weight.data!.shape[0]!;
  const columns = widths.reduce((a, b) => a + b, 0);
  const weight = new Float32Array(inputs * columns);
  const bias = new Float32Array(columns);
  let from = 0;
  projections.forEach((projection, i) => {
    const width = widths[i]!;
    const numbers = Float32Array.from(readNumbers(projection.weight.data!));
    for (let row = 0; row < inputs; row++)
      weight.set(numbers.subarray(row * width, (row + 1) * width), row * columns + from);
    if (projection.bias) bias.set(readNumbers(projection.bias.data!), from);
    from += width;
  });
  return [
    emit.initializer(`${stem}/qkv/weight`, tensorOf("float32", [inputs, columns], weight)),
    emit.initializer(`${stem}/qkv/bias`, tensorOf("float32", [columns], bias)),
  ];
}
