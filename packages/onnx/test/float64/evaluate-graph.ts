import type { Graph, Value } from "../../src/graph/graph.ts";
import { describeNode } from "../../src/graph/types.ts";
import { evaluateNode } from "./evaluate-node.ts";
import { type Float64Tensor, float64Of } from "./tensor.ts";

/**
 * All values of a graph for given inputs. A feed goes before the default of an input that has one.
 *
 * @throws Error naming an input without feed, or the node that cannot be evaluated
 */
export function evaluateGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Float64Tensor>>,
): Map<Value, Float64Tensor> {
  const values = new Map<Value, Float64Tensor>();
  for (const value of graph.initializers) {
    const isFed = graph.isInput(value) && feeds[value.name] !== undefined;
    if (value.data && value.data.dtype !== "string" && !isFed) values.set(value, float64Of(value.data));
  }
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    if (feed) values.set(input, feed);
    else if (!values.has(input)) throw new Error(`float64: input "${input.name}" has no feed`);
  }
  for (const node of graph.sorted()) {
    const inputs = node.inputs.map((value) => value && known(values, value));
    let results: Float64Tensor[];
    try {
      results = evaluateNode(node, inputs, node.outputs.length);
    } catch (error) {
      throw new Error(`${describeNode(node)}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    for (const [i, output] of node.outputs.entries()) {
      if (!output) continue;
      const result = results[i];
      if (!result) throw new Error(`${describeNode(node)}: output ${i} is not computed`);
      values.set(output, result);
    }
  }
  return values;
}

function known(values: ReadonlyMap<Value, Float64Tensor>, value: Value): Float64Tensor {
  const tensor = values.get(value);
  if (!tensor) throw new Error(`float64: value "${value.name}" is not known`);
  return tensor;
}
