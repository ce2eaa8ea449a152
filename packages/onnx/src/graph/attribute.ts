import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

type Content =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "tensor"; readonly value: Tensor }
  | { readonly kind: "graph"; readonly value: Graph }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "strings"; readonly value: readonly string[] }
  | { readonly kind: "opaque"; readonly bytes: Uint8Array };

/**
 * An attribute of a node. Integers are `bigint`-free: INT64_MIN and INT64_MAX, which mean "to the end", stand as
 * ±Number.MAX_SAFE_INTEGER here and are written as what they were. `opaque` carries what this package does not
 * interpret (sparse tensors, type protos, references, texts that are not UTF-8, other integers past 2^53): the content
 * of the file's AttributeProto. `extra` holds other fields of the file (doc string, unknown ones).
 */
export type Attribute = Content & { readonly extra?: Uint8Array };

export const int = (value: number): Attribute => ({ kind: "int", value });
export const float = (value: number): Attribute => ({ kind: "float", value });
export const string = (value: string): Attribute => ({ kind: "string", value });
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });
export const floats = (value: readonly number[]): Attribute => ({ kind: "floats", value });
export const tensor = (value: Tensor): Attribute => ({ kind: "tensor", value });
