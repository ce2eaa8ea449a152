import { randomGenerator } from "@dgate/core";
import { Graph, int, tensorOf, type Value } from "@dgate/onnx";

/** Sites of the layers of the feature networks: they are on the same channels, so each network is one group with one set of gates. */
export const featureNetworks = (outputs: number): readonly string[] => [
  "shape1.filters",
  ...range(outputs).map((k) => `shape2.${k}.filters`),
];

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Sizes of an additive network. */
interface AdditiveSizes {
  readonly features: number;
  /** Units of the hidden layer of each feature. */
  readonly hidden: number;
  readonly outputs: number;
}

/**
 * A neural additive model (Agarwal et al. 2021), y = b + Σ_j f_j(x_j): each feature has a network of its own with one hidden layer of ReLUs. All of them
 * are convolutions with as many groups as there are features: one for the hidden units, and one for each output. Hinges of the hidden units lie where standardised features do.
 */
export function additiveNetwork({ features, hidden, outputs }: AdditiveSizes, seed: number): Graph {
  const random = randomGenerator(seed * 1000);
  const graph = new Graph("additive");
  const weight = (name: string, shape: readonly number[], draw: (i: number) => number): Value => {
    const count = shape.reduce((a, b) => a * b, 1);
    return graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        Float32Array.from({ length: count }, (_, i) => draw(i)),
      ),
    );
  };
  const op = (name: string, kind: string, inputs: readonly Value[], attributes = {}): Value =>
    graph.addNode({ op: kind, name, inputs, attributes }).outputs[0]!;
  const axis = (name: string, at: number): Value => graph.addInitializer(name, tensorOf("int64", [1], [at]));

  const units = features * hidden;
  const slopes = Float32Array.from({ length: units }, () => random.normal() / Math.sqrt(hidden));
  const input = graph.addInput("input", { dtype: "float32", shape: ["batch", features] });
  const columns = op("columns", "Unsqueeze", [
    op("by_feature", "Transpose", [input]),
    axis("columns.axis", 0),
  ]);
  const own = { group: int(features) };
  const kernel1 = weight("shape1.kernel", [units, 1, 1], (i) => slopes[i]!);
  const bias1 = weight("shape1.bias", [units], (i) => slopes[i]! * (4 * random.next() - 2));
  const hinges = op("relu", "Relu", [op("shape1", "Conv", [columns, kernel1, bias1], own)]);
  const sums = range(outputs).map((k) => {
    const kernel = weight(
      `shape2.${k}.kernel`,
      [features, hidden, 1],
      () => (0.25 * random.normal()) / Math.sqrt(hidden),
    );
    const shapes = op(`shape2.${k}`, "Conv", [hinges, kernel], own);
    return op(`sum.${k}`, "ReduceSum", [shapes, axis(`sum.${k}.axis`, 1)], { keepdims: int(0) });
  });
  const all = outputs === 1 ? sums[0]! : op("sums", "Concat", sums, { axis: int(0) });
  const rows = op("by_row", "Transpose", [all]);
  graph.addOutput(op("output", "Add", [rows, weight("output.bias", [outputs], () => 0)]));
  return graph;
}
