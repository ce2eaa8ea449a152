import type { Coupling } from "../coupling/analyse.ts";
import { int } from "../graph/attribute.ts";
import type { Dim, Graph, Value } from "../graph/graph.ts";
import { namesOf, parse } from "../infer/polynomial.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { freshNodeName } from "./fresh-node-name.ts";

/**
 * An int64 list of sizes as a value of the graph, computed from the sizes of values before it: for each symbol
 * `Gather(Shape(value), axis)`, products and sums of them, and constants, joined by one Concat.
 */
export function emitSizes(coupling: Coupling, dims: readonly Dim[]): Value {
  const { graph } = coupling;
  const parts: (Value | number[])[] = [];
  for (const dim of dims) {
    const last = parts.at(-1);
    if (typeof dim !== "number") parts.push(emitSize(coupling, dim));
    else if (Array.isArray(last)) last.push(dim);
    else parts.push([dim]);
  }
  const values = parts.map((part) => (Array.isArray(part) ? integers(graph, part) : part));
  if (values.length === 1) return values[0]!;
  return graph.addNode({
    op: "Concat",
    name: freshNodeName(graph, "dgate/sizes"),
    inputs: values,
    attributes: { axis: int(0) },
  }).outputs[0]!;
}

/**
 * The constants that `emitSizes` would make: their lengths, and for those that it makes once per graph what they are for.
 */
export function emittedLists(
  { symbols }: Coupling,
  dims: readonly Dim[],
): readonly { readonly length: number; readonly key?: string }[] {
  let run = 0;
  return dims.flatMap((dim, i) => {
    if (typeof dim === "number") {
      run += 1;
      if (typeof dims[i + 1] === "number") return [];
      const length = run;
      run = 0;
      return [{ length }];
    }
    const terms = [...((typeof dim === "string" ? parse(dim) : undefined) ?? [])];
    return terms.flatMap(([key, coefficient]) => {
      const axes = namesOf(key).map((name) => {
        const source = symbols.get(name);
        return { length: 1, key: `${source?.axis} ${source?.value.name}` };
      });
      return coefficient === 1 && axes.length > 0 ? axes : [...axes, { length: 1 }];
    });
  });
}

function emitSize(coupling: Coupling, dim: Dim): Value {
  const { graph, symbols } = coupling;
  const polynomial = typeof dim === "string" ? parse(dim) : undefined;
  // The analysis blocks what cannot be computed.
  if (!polynomial) throw new Error(`unreachable: size ${dim} of a cut shape`);
  const terms = [...polynomial].map(([key, coefficient]) => {
    const factors = namesOf(key).map((name) => {
      const source = symbols.get(name);
      if (!source) throw new Error(`unreachable: symbol ${name} of a cut shape`);
      return sizeOfAxis(graph, source.value, source.axis);
    });
    const all =
      coefficient === 1 && factors.length > 0 ? factors : [...factors, integers(graph, [coefficient])];
    return all.reduce((a, b) => combine(graph, "Mul", a, b));
  });
  return terms.reduce((a, b) => combine(graph, "Add", a, b));
}

function combine(graph: Graph, op: "Mul" | "Add", a: Value, b: Value): Value {
  return graph.addNode({ op, name: freshNodeName(graph, "dgate/size"), inputs: [a, b] }).outputs[0]!;
}

/** `[size]` of an axis of a value; made once per graph. */
function sizeOfAxis(graph: Graph, value: Value, axis: number): Value {
  const name = `dgate/size/${value.name}/${axis}`;
  const known = graph.value(name);
  if (known && graph.producer(known)) return known;
  const shape = graph.addNode({ op: "Shape", name: freshNodeName(graph, "dgate/shape"), inputs: [value] })
    .outputs[0]!;
  const picked = graph.addValue(graph.freshName(name), { dtype: "int64", shape: [1] });
  graph.addNode({
    op: "Gather",
    name: freshNodeName(graph, "dgate/pick"),
    inputs: [shape, integers(graph, [axis])],
    outputs: [picked],
    attributes: { axis: int(0) },
  });
  return picked;
}

function integers(graph: Graph, numbers: readonly number[]): Value {
  return graph.addInitializer(graph.freshName("dgate/sizes"), tensorOf("int64", [numbers.length], numbers));
}
