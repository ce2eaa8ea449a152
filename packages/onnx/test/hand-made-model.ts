import { WireWriter } from "../src/proto/wire-writer.ts";

/** Messages by hand, independent of our writer's choice of fields. */
export type Field = readonly [
  number,
  number | bigint | string | Uint8Array | { readonly float: number } | readonly Field[],
];

/** A message of the given fields. */
export function message(fields: readonly Field[]): WireWriter {
  const writer = new WireWriter();
  for (const [field, value] of fields) {
    if (typeof value === "string") writer.string(field, value);
    else if (value instanceof Uint8Array) writer.bytes(field, value);
    else if (Array.isArray(value)) writer.message(field, message(value as readonly Field[]));
    else if (typeof value === "object" && "float" in value) writer.float(field, value.float);
    else writer.integer(field, value as number | bigint);
  }
  return writer;
}

/** A model of IR 8 and opset 17 whose graph has the given fields. */
export const model = (...graph: Field[]): Uint8Array =>
  message([
    [1, 8],
    [7, graph],
    [8, [[2, 17]]],
  ]).finish();

/** A node. */
export const node = (op: string, inputs: string[], outputs: string[], ...rest: Field[]): Field => [
  1,
  [...inputs.map((name): Field => [1, name]), ...outputs.map((name): Field => [2, name]), [4, op], ...rest],
];
/** A graph output without type. */
export const output = (name: string): Field => [12, [[1, name]]];
/** An initializer; `fields` are of its TensorProto. */
export const initializer = (name: string, ...fields: Field[]): Field => [5, [[8, name], ...fields]];
/** Packed varints, as content of a field. */
export const packed = (...values: number[]): Uint8Array => {
  const writer = new WireWriter();
  writer.packedIntegers(1, values);
  return writer.finish().subarray(2);
};
/** `y = Identity(c)` of an initializer. */
export const identity = (...fields: Field[]): Uint8Array =>
  model(initializer("c", ...fields), node("Identity", ["c"], ["y"]), output("y"));
