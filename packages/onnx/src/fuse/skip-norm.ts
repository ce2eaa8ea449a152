import { float } from "../graph/attribute.ts";
import type { Dim, Node, Value } from "../graph/graph.ts";
import { floatAttribute, frontAxis, intAttribute } from "../ops/attributes.ts";
import { takeOver } from "../training-form/take-over.ts";
import type { FuseContext } from "./fuse-context.ts";
import { type Miss, miss } from "./miss.ts";

/**
 * Puts a Skip normalisation in the place of `norm(a + b)`, or of `norm((a + bias) + b)`. Of a sum that is read elsewhere too it is the
 * fourth output.
 *
 * @returns the new node, why there is none, or nothing where the normalisation follows no sum
 */
export function skipNorm(
  context: FuseContext,
  norm: Node,
  op: "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization",
): Node | Miss | undefined {
  const { graph, pattern, inference, emit } = context;
  const sum = norm.inputs[0] && pattern.source(norm.inputs[0]);
  const add = sum && pattern.producer(sum, "Add");
  const [a, b] = add?.inputs ?? [];
  if (!sum || !add || !a || !b || norm.outputs.slice(1).some((output) => output !== undefined))
    return undefined;
  const shapes = [a, b, sum].map((value) => inference.types.get(value)?.shape);
  const types = [a, b].map((value) => inference.types.get(value)?.dtype);
  if (isConstantVector(graph.isInput(a), a) || isConstantVector(graph.isInput(b), b)) return undefined;
  if (shapes[0]?.length !== 3 || !isSame(shapes[0], shapes[1]) || types.some((type) => type !== "float32"))
    return miss("the sum before it is not of two float32 values with the same three axes");
  if (frontAxis(intAttribute(norm, "axis", -1), 3) !== 2) return miss("it is not over the last axis alone");
  const vectors = norm.inputs.slice(1).filter((value) => value !== undefined);
  const width = shapes[0].at(-1);
  if (vectors.some((value) => !isSame(inference.types.get(value)?.shape, [width])))
    return miss("its scale or bias is no vector of the normalised size");
  const isShared = graph.uses(sum).some(({ node }) => node !== norm);
  const { inputs, bias } = withoutBias(context, [a, b]);
  const [gamma, beta] = norm.inputs.slice(1);
  const own = op === "SkipLayerNormalization" ? [gamma, beta, bias] : [gamma, bias];
  while (own.at(-1) === undefined) own.pop();
  const node = emit.node(norm.name.replace(/\/[^/]*$/, "") || "norm", {
    op,
    domain: "com.microsoft",
    inputs: [...inputs, ...own],
    outputs: isShared ? 4 : 1,
    attributes: { epsilon: float(floatAttribute(norm, "epsilon", 1e-5)) },
  });
  takeOver(graph, norm, [node.outputs[0]], inference);
  if (isShared) takeOver(graph, add, [node.outputs[3]], inference);
  return node;
}

const isSame = (a: readonly Dim[] | undefined, b: readonly Dim[] | undefined): boolean =>
  a !== undefined && a.length === b?.length && a.every((dim, i) => dim !== undefined && dim === b[i]);

const isConstantVector = (isInput: boolean, { data }: Value): boolean => !isInput && data?.shape.length === 1;

/** What is added, without the constant vector that is added to one of them before and is not read elsewhere. */
function withoutBias(
  { graph, pattern, inference }: FuseContext,
  terms: readonly [Value, Value],
): { readonly inputs: readonly [Value, Value]; readonly bias: Value | undefined } {
  for (const [i, term] of terms.entries()) {
    if (graph.uses(term).length !== 1) continue;
    for (const [value, bias] of pattern.orders(term, "Add")) {
      if (!isConstantVector(graph.isInput(bias), bias)) continue;
      if (!isSame(inference.types.get(value)?.shape, inference.types.get(term)?.shape)) continue;
      return { inputs: i === 0 ? [value, terms[1]] : [terms[0], value], bias };
    }
  }
  return { inputs: terms, bias: undefined };
}
