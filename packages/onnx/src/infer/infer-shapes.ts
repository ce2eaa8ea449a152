import type { Dim, Graph, Node, Value, ValueType } from "../graph/graph.ts";
import { elementCount, maxRank } from "../io/element-types.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import { contentRules } from "./content-rules.ts";
import { canonicalDim, mergeDim, sizeOfDim } from "./dims.ts";
import { fusedShapeRules } from "./fused-shapes.ts";
import { shapeRules } from "./shape-rules.ts";
import { contentLimit, type Inference, NodeView } from "./view.ts";

const rules = { ...shapeRules, ...fusedShapeRules };

/** Options of `inferShapes`. */
export interface InferOptions {
  /** Sizes for symbolic dimensions of the graph inputs, by name: `{ batch: 1 }`. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Of a subgraph: elements of small constants that it takes from the graph around it, by name. */
  readonly outer?: ReadonlyMap<string, readonly Dim[]>;
}

/**
 * Types and shapes of all values, symbolic dimensions included. Follows the integer arithmetic on shapes
 * (`Shape → Gather → Concat → Reshape`); an operator without a rule keeps what the file declares. The graph is not changed.
 *
 * @returns the type of each value about which something is known, and the known elements of small integer values
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export function inferShapes(graph: Graph, { dims = {}, outer }: InferOptions = {}): GrowingInference {
  const types = new Map<Value, ValueType>();
  const contents = new Map<Value, readonly Dim[]>();
  const size = (dim: Dim): Dim => {
    if (typeof dim === "string" && Object.hasOwn(dims, dim)) return dims[dim];
    const canonical = canonicalDim(dim);
    const open = typeof canonical === "string" && Object.keys(dims).length > 0;
    if (!open) return canonical;
    // A sum of names gets a size when all of them have one.
    const bound = sizeOfDim(canonical, (name) => (Object.hasOwn(dims, name) ? dims[name]! : Number.NaN));
    return bound === undefined || Number.isNaN(bound) ? canonical : bound;
  };
  const bind = ({ dtype, shape }: ValueType): ValueType =>
    shape ? { dtype, shape: shape.map(size) } : { dtype };
  for (const value of graph.values) {
    if (value.data) inferConstant(value, { types, contents });
    else if (value.type && !graph.producer(value)) types.set(value, named(value.name, bind(value.type)));
  }
  for (const value of outer ? graph.outer : []) {
    const content = outer?.get(value.name);
    if (content) contents.set(value, content);
  }
  for (const node of graph.sorted()) inferNode(graph, node, { types, contents }, bind);
  return { types, contents };
}

/** What is known of a graph's values while nodes are added to it. */
export interface GrowingInference extends Inference {
  readonly types: Map<Value, ValueType>;
  readonly contents: Map<Value, readonly Dim[]>;
}

/** Adds to an inference what one node says of its outputs; what it reads must be in it. */
export function inferNode(
  graph: Graph,
  node: Node,
  inference: GrowingInference,
  bind: (declared: ValueType) => ValueType = (declared) => declared,
): void {
  const { types, contents } = inference;
  const view = new NodeView(graph, node, inference);
  const inferred = applyTo(node, () => ruleOf(rules, node)?.(view) ?? []);
  node.outputs.forEach((value, index) => {
    if (!value) return;
    const declared = value.type && bind(value.type);
    const type = mergeTypes(inferred[index], declared);
    if (type) types.set(value, plausible(type));
  });
  const output = node.outputs[0];
  const content = output && applyTo(node, () => contentOf(view));
  if (output && content && content.length <= contentLimit) contents.set(output, content);
}

/** Adds to an inference what a constant says of itself. */
export function inferConstant(value: Value, { types, contents }: GrowingInference): void {
  const { data } = value;
  if (!data) return;
  types.set(value, { dtype: data.dtype, shape: data.shape });
  const content = smallContent(value);
  if (content) contents.set(value, content);
}

/** An input's dimension without a name gets one: it is the same size wherever it goes. */
function named(name: string, { dtype, shape }: ValueType): ValueType {
  return shape ? { dtype, shape: shape.map((dim, axis) => dim ?? `${name}.${axis}`) } : { dtype };
}

/** Inferred knowledge first; what the file declares fills the gaps. A rank that disagrees means the declaration is stale. */
function mergeTypes(inferred: ValueType | undefined, declared: ValueType | undefined): ValueType | undefined {
  if (!inferred || !declared) return inferred ?? declared;
  const { shape } = inferred;
  if (!shape) return declared.shape ? { dtype: inferred.dtype, shape: declared.shape } : inferred;
  if (declared.shape?.length !== shape.length) return inferred;
  return { dtype: inferred.dtype, shape: shape.map((dim, axis) => mergeDim(dim, declared.shape?.[axis])) };
}

/** Without sizes that cannot be (a negative pad larger than its axis), and without a rank that no runtime takes. */
function plausible({ dtype, shape }: ValueType): ValueType {
  if (!shape || shape.length > maxRank) return { dtype };
  return { dtype, shape: shape.map((dim) => (isSize(dim) ? dim : undefined)) };
}

function isSize(dim: Dim): boolean {
  return typeof dim !== "number" || (Number.isSafeInteger(dim) && dim >= 0);
}

const singleTypes: ReadonlySet<DataType> = new Set(["float32", "float64", "bool"]);

/** Elements of constants small enough to be sizes. */
function smallContent(value: Value): readonly number[] | undefined {
  const { data } = value;
  if (!data || elementCount(data.shape) > contentLimit) return undefined;
  const integers = data.dtype === "int64" || data.dtype === "int32";
  // Single numbers of other types take part in shape arithmetic too: Floor(Div(Cast(Shape), 2)).
  const single = elementCount(data.shape) === 1 && singleTypes.has(data.dtype);
  return integers || single ? [...readNumbers(data)] : undefined;
}

function contentOf(view: NodeView): readonly Dim[] | undefined {
  const { attributes, domain, op } = view.node;
  if (op !== "Constant" || domain !== "") return ruleOf(contentRules, view.node)?.(view);
  const whole = attributes.get("value");
  if (whole?.kind === "tensor") {
    return smallContent({ name: "", type: undefined, data: whole.value });
  }
  const single = attributes.get("value_int") ?? attributes.get("value_ints");
  if (single?.kind === "int") return [single.value];
  return single?.kind === "ints" ? single.value : undefined;
}
