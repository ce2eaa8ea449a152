import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * An attribute of a node. Integers are `bigint`-free: they are exact up to 2^53, which bounds every attribute in use
 * except INT64_MIN/MAX sentinels (Slice ends), which are clamped to ±Number.MAX_SAFE_INTEGER.
 * `opaque` carries what this package does not interpret (sparse tensors, type protos, references) as file bytes.
 */
export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "tensor"; readonly value: Tensor }
  | { readonly kind: "graph"; readonly value: Graph }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "strings"; readonly value: readonly string[] }
  | { readonly kind: "opaque"; readonly bytes: Uint8Array };

export const int = (value: number): Attribute => ({ kind: "int", value });
export const float = (value: number): Attribute => ({ kind: "float", value });
export const string = (value: string): Attribute => ({ kind: "string", value });
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value });
export const floats = (value: readonly number[]): Attribute => ({ kind: "floats", value });
export const tensor = (value: Tensor): Attribute => ({ kind: "tensor", value });
