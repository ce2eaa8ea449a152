import { type RandomGenerator, randomGenerator } from "@dgate/core";
import {
  type Attribute,
  Graph,
  numbersOf,
  openRunner,
  type RunnerOptions,
  type RunTensor,
  type Tensor,
  tensorOf,
} from "@dgate/onnx";
import type { DecompositionTable } from "../src/training-form/decomposition.ts";
import { decompose } from "../src/training-form/decompose.ts";
import { ruleOf } from "../src/ops/rule-of.ts";

type Results = Readonly<Record<string, RunTensor>>;
export type Feeds = Readonly<Record<string, Tensor>>;

/** Runs a graph once in onnxruntime-node. */
export async function runOnce(
  graph: Graph,
  feeds: Feeds,
  session: RunnerOptions["session"] = {},
): Promise<Results> {
  const runner = await openRunner(graph, { runtime: "node", session });
  const results = await runner.run(feeds);
  await runner.dispose();
  return results;
}

/** The largest difference of the outputs of two runs, each relative to the largest number of its output in the first. */
export function largestDifference(first: Results, second: Results): number {
  const byOutput = Object.entries(first).map(([name, tensor]) => {
    const other = second[name]!;
    if (String(other.shape) !== String(tensor.shape))
      throw new Error(`"${name}" has shape [${other.shape.join()}] in place of [${tensor.shape.join()}]`);
    const [a, b] = [Array.from(numbersOf(tensor)), Array.from(numbersOf(other))];
    const scale = Math.max(...a.map(Math.abs), 0) || 1;
    const differences = a.map((x, i) => Math.abs(x - b[i]!) / scale);
    return differences.some(Number.isNaN) ? Infinity : Math.max(...differences, 0);
  });
  return Math.max(...byOutput);
}

/** A copy of a graph with the operators of a table written with others; no node of the table is left. */
export function decomposed(graph: Graph, table: DecompositionTable): Graph {
  const plain = graph.clone();
  decompose(plain, table);
  const left = plain.nodes().filter((node) => ruleOf(table, node));
  if (left.length > 0) throw new Error(`${left.map(({ op }) => op).join(", ")} not decomposed`);
  return plain;
}

/** How far a decomposed graph's outputs are from the graph's own. */
export async function decomposedDifference(
  graph: Graph,
  table: DecompositionTable,
  feeds: Feeds,
): Promise<number> {
  return largestDifference(await runOnce(graph, feeds), await runOnce(decomposed(graph, table), feeds));
}

/** A graph of one node. */
export interface SingleNode {
  readonly op: string;
  readonly domain?: string;
  readonly opset?: number;
  /** Standard normal numbers of these shapes, or tensors as they are; left-out inputs are `undefined`. */
  readonly inputs: readonly (readonly number[] | Tensor | undefined)[];
  readonly outputs?: number;
  /** Outputs that are left out. */
  readonly skipped?: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Inputs that are constants of the graph. */
  readonly constants?: readonly number[];
}

const isShape = (input: readonly number[] | Tensor): input is readonly number[] => Array.isArray(input);

const normal = (random: RandomGenerator, shape: readonly number[]): Tensor =>
  tensorOf(
    "float32",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
  );

/** The graph of a node, and feeds for it. */
export function singleNode(single: SingleNode): { graph: Graph; feeds: Feeds } {
  const { op, domain = "com.microsoft", opset = 18, inputs, outputs = 1, skipped = [] } = single;
  const graph = new Graph("single", [
    ["", opset],
    ["com.microsoft", 1],
  ]);
  const random = randomGenerator(5);
  const feeds: Record<string, Tensor> = {};
  const values = inputs.map((input, i) => {
    if (input === undefined) return undefined;
    const tensor = isShape(input) ? normal(random, input) : input;
    if (single.constants?.includes(i)) return graph.addInitializer(`input_${i}`, tensor);
    feeds[`input_${i}`] = tensor;
    return graph.addInput(`input_${i}`, tensor);
  });
  const written = Array.from({ length: outputs }, (_, i) =>
    skipped.includes(i) ? undefined : graph.addValue(`output_${i}`),
  );
  graph.addNode({
    op,
    domain,
    name: "node",
    inputs: values,
    outputs: written,
    attributes: single.attributes ?? {},
  });
  for (const value of written) if (value) graph.addOutput(value);
  return { graph, feeds };
}
