import type { Attribute } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";

/** A graph, a value of it, and what is given to the computation of that value from outside. */
export interface Computation {
  readonly graph: Graph;
  readonly value: Value;
}

/**
 * Whether a value is computed as another one is, by the same operators from the same constants; `given` tells for a value of
 * `expected` which value of the other graph has to stand in its place. The walk goes as far as `expected` does, whatever the
 * other graph holds.
 */
export function sameComputation(
  expected: Computation,
  found: Computation,
  given: (value: Value) => Value | undefined,
): boolean {
  const paired = new Map<Value, Value>();
  const same = (a: Value | undefined, b: Value | undefined): boolean => {
    if (!a || !b) return a === b;
    const known = paired.get(a) ?? given(a);
    if (known) return known === b;
    paired.set(a, b);
    if (a.data) return b.data !== undefined && !found.graph.isInput(b) && sameTensor(a.data, b.data);
    const [left, right] = [expected.graph.producer(a), found.graph.producer(b)];
    return (
      left !== undefined &&
      right !== undefined &&
      sameCall(left, right) &&
      left.inputs.every((input, i) => same(input, right.inputs[i]))
    );
  };
  return same(expected.value, found.value);
}

function sameCall(a: Node, b: Node): boolean {
  const attributes = [...a.attributes];
  return (
    a.op === b.op &&
    a.domain === b.domain &&
    a.inputs.length === b.inputs.length &&
    b.outputs.length === 1 &&
    b.attributes.size === attributes.length &&
    attributes.every(([name, attribute]) => sameAttribute(attribute, b.attributes.get(name)))
  );
}

/** Integers and lists of them are all that is emitted for gates. */
function sameAttribute(a: Attribute, b: Attribute | undefined): boolean {
  if (a.kind === "int") return b?.kind === "int" && a.value === b.value;
  return a.kind === "ints" && b?.kind === "ints" && a.value.join() === b.value.join();
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  const alike = a.dtype === b.dtype && a.shape.join() === b.shape.join() && a.bytes.length === b.bytes.length;
  return alike && a.bytes.every((byte, i) => byte === b.bytes[i]);
}
