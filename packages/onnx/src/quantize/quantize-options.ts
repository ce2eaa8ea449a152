import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { graphsWithin } from "../training-form/subgraphs.ts";
import type { LayerChoice, QuantizableOperator } from "./float-layers.ts";

/** What both quantizers are asked for. */
export interface QuantizeLayerOptions {
  /** Kinds of layers to quantize. */
  readonly operators?: readonly QuantizableOperator[];
  /** Names of nodes or weights that stay as they are. */
  readonly exclude?: readonly string[];
  /** Weights of fewer elements stay: the nodes around them cost more than they save (default 1024). */
  readonly minimumElements?: number;
}

/**
 * Checks which layers are asked for.
 *
 * @throws DgateError `OPTION` for an operator or a number out of range, `NO_MATCH` for an excluded name that the model does not have
 */
export function layerChoice(
  graph: Graph,
  { operators = [], exclude = [], minimumElements = 1024 }: QuantizeLayerOptions,
  allowed: readonly QuantizableOperator[],
): LayerChoice {
  for (const operator of operators) {
    checkOption(allowed.includes(operator), `operators: "${operator}" is none of ${allowed.join(", ")}`);
  }
  checkOption(
    Number.isSafeInteger(minimumElements) && minimumElements >= 0,
    `minimumElements must be an integer ≥ 0, got ${minimumElements}`,
  );
  const names = namesOf(graph);
  const missing = exclude.find((name) => !names.has(name));
  if (missing !== undefined) {
    throw new DgateError(
      "NO_MATCH",
      `quantize: exclude names "${missing}", but the model has no such node or weight.`,
    );
  }
  return { operators: new Set(operators), exclude: new Set(exclude), minimumElements };
}

function namesOf(graph: Graph): ReadonlySet<string> {
  const names = new Set<string>();
  for (const each of graphsWithin(graph)) {
    for (const { name } of each.values) names.add(name);
    for (const { name } of each.nodes()) names.add(name);
  }
  return names;
}

/** @throws DgateError `OPTION` with the problem unless `holds` */
export function checkOption(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new DgateError("OPTION", `quantize: ${problem}.`);
}
