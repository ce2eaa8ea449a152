import { DgateError } from "@dgate/core";
import {
  type Attribute,
  type CoupledSlice,
  type Graph,
  type Inference,
  int,
  ints,
  type Node,
  tensorOf,
  type Value,
} from "@dgate/onnx";

/** What a weight is multiplied with in one node, and which axes are summed over together. */
export interface ReaderInput {
  /** The activations, by the name of their value. */
  readonly activations: string;
  readonly rank: number;
  /** Axes of the activations and of the weight that meet: several in an Einsum. */
  readonly axes: readonly { readonly activation: number; readonly weight: number }[];
}

/**
 * The activations that a weight reads: one entry for each layer that uses it.
 *
 * @param graph in the form that sites speak of
 * @throws DgateError `UNSUPPORTED` naming a node of which it is not known what it sums over
 */
export function readerInputs(
  graph: Graph,
  { types }: Inference,
  { tensor, axis, role }: CoupledSlice,
): ReaderInput[] {
  const weight = graph.value(tensor);
  return (weight ? graph.uses(weight) : []).map(({ node, index }) => {
    const activations = node?.inputs[index === 0 ? 1 : 0];
    const rank = activations && types.get(activations)?.shape?.length;
    const axes =
      node && rank !== undefined ? contractedAxes(node, index, rank, weight!.data!.shape.length) : undefined;
    // Rows of a consumer are what is summed over; of any other weight its axis says nothing of that.
    const fits = role !== "consumer" || axes?.some(({ weight: own }) => own === axis);
    if (activations && rank !== undefined && axes && axes.length > 0 && fits) {
      return { activations: activations.name, rank, axes };
    }
    throw new DgateError(
      "UNSUPPORTED",
      `importance: "wanda" does not know what ${node ? `${node.op} "${node.name}"` : "the model"} sums over where it reads "${tensor}"; take "gradient" or "l2".`,
    );
  });
}

/** The axis that an operand is summed over: the last of the left one, the one before of the right one; transposed the other way round. */
const matrixAxis = (rank: number, isLeft: boolean, isTransposed: boolean): number =>
  isLeft !== isTransposed || rank === 1 ? rank - 1 : rank - 2;

/** Pairs of axes that a node sums over; `undefined` for an operator that is not known. */
function contractedAxes(
  node: Node,
  index: number,
  rank: number,
  weightRank: number,
): ReaderInput["axes"] | undefined {
  const flag = (name: string): boolean => {
    const attribute = node.attributes.get(name);
    return attribute?.kind === "int" && attribute.value !== 0;
  };
  const [own, other] = index === 0 ? ["transA", "transB"] : ["transB", "transA"];
  switch (node.op) {
    case "MatMul":
    case "Gemm":
    case "FusedMatMul":
    case "FusedGemm":
      if (index > 1) return undefined;
      return [
        {
          activation: matrixAxis(rank, index === 1, flag(other)),
          weight: matrixAxis(weightRank, index === 0, flag(own)),
        },
      ];
    case "Conv":
    case "FusedConv":
      return index === 1 ? [{ activation: 1, weight: 1 }] : undefined;
    case "Einsum":
      return einsumAxes(node, index);
    default:
      return undefined;
  }
}

function einsumAxes(node: Node, index: number): ReaderInput["axes"] | undefined {
  const attribute = node.attributes.get("equation");
  const equation = attribute?.kind === "string" ? attribute.value.replaceAll(/\s/g, "") : "";
  const [left = "", output] = equation.split("->");
  const terms = left.split(",");
  if (output === undefined || terms.length !== 2 || index > 1 || equation.includes(".")) return undefined;
  const [own, other] = [terms[index]!, terms[1 - index]!];
  return own.split("").flatMap((label, weight) => {
    const activation = other.indexOf(label);
    return activation >= 0 && !output.includes(label) ? [{ activation, weight }] : [];
  });
}

/** Adds Σ x² over all axes but the contracted ones as an output of a graph; gives its name. */
export function addSquareSums(graph: Graph, { activations, rank, axes }: ReaderInput): string {
  const kept = axes.map(({ activation }) => activation);
  const over = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !kept.includes(axis));
  const name = graph.freshName(`importance.squares.${activations}`);
  const add = (
    op: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>>,
    as?: string,
  ): Value => {
    const output = graph.addValue(as ?? graph.freshName(`${name}/${op}`), { dtype: "float32" });
    graph.addNode({ op, name: output.name, inputs, outputs: [output], attributes });
    return output;
  };
  // The squares of float16 would leave its range.
  const x = add("Cast", [graph.value(activations)!], { to: int(floatType) });
  const squares = add("Mul", [x, x], {});
  const takesAxes = (graph.opsets.get("") ?? 0) >= 13;
  const list = takesAxes
    ? [graph.addInitializer(graph.freshName(`${name}/axes`), tensorOf("int64", [over.length], over))]
    : [];
  const flags = { keepdims: int(0), ...(!takesAxes && { axes: ints(over) }) };
  graph.addOutput(add("ReduceSum", [squares, ...list], flags, name));
  return name;
}

/** float32 as an ONNX file numbers it. */
const floatType = 1;
