import { Graph, tensorOf, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";
import type { LayerEntry, ModelConfig } from "../gating/model-config.ts";
import { dropLayers } from "./drop-layers.ts";

/** A layer of class `className` called once on the named layers. */
function layer(name: string, className: string, ...inputs: string[]): LayerEntry {
  return {
    name,
    className,
    config: { name },
    inboundNodes: inputs.length ? [inputs.map((from) => [from, 0, 0])] : [],
  };
}

function functional(layers: LayerEntry[], output: string): ModelConfig {
  return { name: "m", layers, outputLayers: [[output, 0, 0]] };
}

/** A graph that has nodes of these names and nothing else. */
function graphOf(...names: string[]): Graph {
  const graph = new Graph("g");
  let value: Value = graph.addInput("x", { dtype: "float32", shape: [1] });
  for (const name of names) value = graph.addNode({ name, op: "Relu", inputs: [value] }).outputs[0]!;
  return graph;
}

const names = (config: ModelConfig): string[] => config.layers.map(({ config: { name } }) => name);

const residual = functional(
  [
    layer("x", "InputLayer"),
    layer("stem", "Conv2D", "x"),
    layer("a", "Conv2D", "stem"),
    layer("drop", "Dropout", "a"),
    layer("b", "Conv2D", "drop"),
    layer("sum", "Add", "stem", "b"),
    layer("head", "Dense", "sum"),
  ],
  "head",
);
const whole = graphOf("stem", "a", "b", "b/transpose", "sum", "head");

test("a config stays as it is while all its layers have nodes", () => {
  expect(dropLayers(residual, whole, whole).config).toEqual(residual);
});

test("a dead branch goes with its dropout, and what merged it stands aside", () => {
  const { config: small } = dropLayers(residual, whole, graphOf("stem", "head"));
  expect(names(small)).toEqual(["x", "stem", "head"]);
  expect(small.layers[2]?.inboundNodes).toEqual([[["stem", 0, 0]]]);
});

test("a constant that a dead branch left behind becomes a normalisation", () => {
  const after = graphOf("stem", "head");
  const [stem] = after.nodes();
  const offset = after.addInitializer("sum.constant", tensorOf("float32", [1, 2, 1, 1], [0.5, -1]));
  after.addNode({ name: "sum", op: "Add", inputs: [stem!.outputs[0], offset] });
  const { config, weights } = dropLayers(residual, whole, after);
  expect(names(config)).toEqual(["x", "stem", "sum", "head"]);
  expect(config.layers[2]).toMatchObject({
    className: "BatchNormalization",
    inboundNodes: [[["stem", 0, 0]]],
  });
  expect(weights.get("sum")?.get("beta")?.values).toEqual(Float32Array.of(0.5, -1));
  expect(weights.get("sum")?.get("gamma")?.values).toEqual(Float32Array.of(1, 1));
});

test("an output that merged a dead branch is what is left of it", () => {
  const { config: small } = dropLayers(
    functional(residual.layers.slice(0, 6), "sum"),
    whole,
    graphOf("stem"),
  );
  expect(small.outputLayers).toEqual([["stem", 0, 0]]);
});

test("a merge layer keeps the inputs that are left", () => {
  const config = functional(
    [
      layer("x", "InputLayer"),
      layer("a", "Dense", "x"),
      layer("b", "Dense", "x"),
      layer("c", "Dense", "x"),
      layer("joined", "Concatenate", "a", "b", "c"),
    ],
    "joined",
  );
  const { config: small } = dropLayers(config, graphOf("a", "b", "c", "joined"), graphOf("a", "c", "joined"));
  expect(names(small)).toEqual(["x", "a", "c", "joined"]);
  expect(small.layers[3]?.inboundNodes).toEqual([
    [
      ["a", 0, 0],
      ["c", 0, 0],
    ],
  ]);
});

test("branches inside of nested models go too", () => {
  const nested: ModelConfig = functional(
    [
      layer("x", "InputLayer"),
      {
        ...layer("block", "Functional", "x"),
        config: { ...residual, name: "block" },
      },
    ],
    "block",
  );
  const before = graphOf("block/stem", "block/a", "block/b", "block/sum", "block/head");
  const { config: small } = dropLayers(nested, before, graphOf("block/stem", "block/head"));
  expect(names(small)).toEqual(["x", "block"]);
  expect(names(small.layers[1]!.config as unknown as ModelConfig)).toEqual(["x", "stem", "head"]);
});

test("a shared layer that loses a call is refused", () => {
  const config = functional(
    [
      layer("x", "InputLayer"),
      layer("a", "Dense", "x"),
      { ...layer("shared", "Dense"), inboundNodes: [[["x", 0, 0]], [["a", 0, 0]]] },
      {
        ...layer("sum", "Add"),
        inboundNodes: [
          [
            ["shared", 0, 0],
            ["shared", 1, 0],
          ],
        ],
      },
    ],
    "sum",
  );
  expect(() => dropLayers(config, graphOf("a", "shared", "sum"), graphOf("shared", "sum"))).toThrow(
    /"shared" loses one/,
  );
});
