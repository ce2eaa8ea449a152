import type { Dim, Graph, Value } from "../graph/graph.ts";
import type { Inference } from "./view.ts";
import { namesOf, parse } from "./polynomial.ts";

/** Where the number behind a symbol can be read at run time: an axis of a value. */
export interface SymbolSource {
  readonly value: Value;
  readonly axis: number;
}

/** The symbols that are sizes of model inputs. */
export function symbolSources(graph: Graph, inference: Inference): Map<string, SymbolSource> {
  const sources = new Map<string, SymbolSource>();
  for (const input of graph.requiredInputs) addSources(sources, input, inference);
  return sources;
}

/** Adds the symbols that a value is the first to have. */
export function addSources(sources: Map<string, SymbolSource>, value: Value, { types }: Inference): void {
  types.get(value)?.shape?.forEach((dim, axis) => {
    if (typeof dim === "string" && isName(dim) && !sources.has(dim)) sources.set(dim, { value, axis });
  });
}

const isName = (dim: string): boolean => parse(dim)?.get(dim) === 1;

/** Whether a dimension can be computed from sizes that can be read. */
export function isComputable(dim: Dim, sources: ReadonlyMap<string, SymbolSource>): boolean {
  if (typeof dim !== "string") return typeof dim === "number";
  const polynomial = parse(dim);
  return (
    polynomial !== undefined &&
    [...polynomial.keys()].every((key) => namesOf(key).every((name) => sources.has(name)))
  );
}

/**
 * Whether a size stays what it is when channels are cut: a name or a sum of names. A number, or a multiple of a name, may be
 * a number of channels.
 */
export function isStable(dim: Dim): boolean {
  const polynomial = typeof dim === "string" ? parse(dim) : undefined;
  return polynomial !== undefined && [...polynomial].every(([key, value]) => key === "" || value === 1);
}
