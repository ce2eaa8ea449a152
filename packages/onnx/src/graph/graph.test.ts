import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { tensorOf } from "../io/tensor-data.ts";
import { int } from "./attribute.ts";
import { checkGraph } from "./check-graph.ts";
import { Graph, type Node, type Value } from "./graph.ts";

const float = { dtype: "float32", shape: ["n"] } as const;

function chain(): { graph: Graph; x: Value; relu: Node; identity: Node } {
  const graph = new Graph("chain");
  const x = graph.addInput("x", float);
  const relu = graph.addNode({ op: "Relu", inputs: [x], name: "relu" });
  const identity = graph.addNode({ op: "Identity", inputs: [relu.outputs[0]], name: "identity" });
  graph.addOutput(identity.outputs[0]!);
  return { graph, x, relu, identity };
}

/** An If whose branch adds `x` and `c` of the graph around it. */
function withBranch(): { graph: Graph; x: Value; c: Value; branchNode: Node; branch: Graph } {
  const branch = new Graph("branch");
  const inputs = [branch.addOuter("x"), branch.addOuter("c")];
  branch.addOutput(branch.addNode({ op: "Add", inputs }).outputs[0]!);
  const graph = new Graph("main");
  const x = graph.addInput("x", float);
  const flag = graph.addInput("flag", { dtype: "bool", shape: [] });
  const c = graph.addInitializer("c", tensorOf("float32", [1], [2]));
  const attributes = { then_branch: { kind: "graph", value: branch } } as const;
  const branchNode = graph.addNode({ op: "If", inputs: [flag], attributes });
  graph.addOutput(branchNode.outputs[0]!);
  return { graph, x, c, branchNode, branch };
}

test("a graph prints one node a line", () => {
  expect(String(chain().graph)).toMatchInlineSnapshot(`
    "graph "chain" (ai.onnx 17)
      input %x: float32[n]
      %relu_output_0 = Relu(%x)
      %identity_output_0 = Identity(%relu_output_0)
      return %identity_output_0"
  `);
});

/** One random edit; those that the graph refuses by design are left out. */
function apply(graph: Graph, kind: string, a: number, b: number): void {
  const values = [...graph.values];
  const nodes = graph.nodes();
  const value = values[a % values.length]!;
  const other = values[b % values.length]!;
  const node = nodes[b % Math.max(nodes.length, 1)];
  if (kind === "add") graph.addNode({ op: "Add", inputs: [value, other] });
  else if (kind === "output") graph.addOutput(value);
  else if (kind === "replace") graph.replaceUses(value, other);
  else if (kind === "set" && node) graph.setInput(node, a % 3, value);
  else if (kind === "remove" && node && node.outputs.every((out) => graph.uses(out!).length === 0))
    graph.remove(node);
}

describe("edges", () => {
  test("every value knows its producer and its uses, graph outputs included", () => {
    const { graph, x, relu, identity } = chain();
    expect(graph.producer(x)).toBeUndefined();
    expect(graph.producer(relu.outputs[0]!)).toBe(relu);
    expect(graph.uses(x)).toEqual([{ node: relu, index: 0 }]);
    expect(graph.uses(identity.outputs[0]!)).toEqual([{ node: undefined, index: 0 }]);
  });

  test("replacing uses moves all of them, and the node in between can go", () => {
    const { graph, relu, identity } = chain();
    graph.replaceUses(identity.outputs[0]!, relu.outputs[0]!);
    graph.remove(identity);
    expect(graph.outputs).toEqual([relu.outputs[0]]);
    expect(graph.uses(relu.outputs[0]!)).toEqual([{ node: undefined, index: 0 }]);
    expect(graph.nodes()).toEqual([relu]);
    checkGraph(graph);
  });

  test("after any edits the uses are those that the nodes and outputs say", () => {
    const edit = fc.tuple(fc.constantFrom("add", "set", "replace", "remove", "output"), fc.nat(), fc.nat());
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 40 }), (edits) => {
        const graph = new Graph("random");
        graph.addInput("x", float);
        graph.addInput("y", float);
        for (const [kind, a, b] of edits) apply(graph, kind, a, b);
        const expected = new Map([...graph.values].map((value) => [value, [] as string[]]));
        graph
          .nodes()
          .forEach((node, n) =>
            node.inputs.forEach((value, i) => value && expected.get(value)!.push(`node ${n} input ${i}`)),
          );
        graph.outputs.forEach((value, i) => expected.get(value)!.push(`output ${i}`));
        for (const [value, uses] of expected) {
          const got = graph
            .uses(value)
            .map(({ node, index }) =>
              node ? `node ${graph.nodes().indexOf(node)} input ${index}` : `output ${index}`,
            );
          expect(got.sort()).toEqual(uses.sort());
        }
        expect(String(graph.clone())).toBe(String(graph));
      }),
    );
  });

  test("an initializer gets another content and its type follows", () => {
    const { graph, c } = withBranch();
    graph.setData(c, tensorOf("float32", [3], [1, 2, 3]));
    expect(c.type).toEqual({ dtype: "float32", shape: [3] });
  });
});

describe("subgraphs", () => {
  test("what a subgraph takes counts as a use, so that it cannot be removed", () => {
    const { graph, c, branchNode } = withBranch();
    expect(graph.uses(c)).toEqual([{ node: branchNode, index: -1 }]);
    expect(() => graph.removeInitializer(c)).toThrow(/still used/);
    graph.replaceUses(branchNode.outputs[0]!, c);
    graph.remove(branchNode);
    expect(graph.uses(c)).toEqual([{ node: undefined, index: 0 }]);
  });

  test("renaming and replacing reach into the subgraph", () => {
    const { graph, x, c, branch, branchNode } = withBranch();
    graph.rename(c, "scale");
    expect(branch.outer.map(({ name }) => name)).toEqual(["x", "scale"]);
    graph.replaceUses(c, x);
    expect(branch.outer.map(({ name }) => name)).toEqual(["x"]);
    expect(branch.nodes()[0]!.inputs.map((value) => value?.name)).toEqual(["x", "x"]);
    expect(graph.uses(x)).toEqual([{ node: branchNode, index: -1 }]);
    expect(graph.uses(c)).toEqual([]);
    checkGraph(graph);
  });

  test("a name that the subgraph has itself would hide the outer value and is refused", () => {
    const { graph, c, branch } = withBranch();
    const own = branch.outputs[0]!.name;
    expect(() => graph.rename(c, own)).toThrow(/would hide the outer one/);
  });

  test("a clone shares no subgraph", () => {
    const { graph, c } = withBranch();
    const before = String(graph);
    const copy = graph.clone();
    expect(String(copy)).toBe(before);
    copy.rename(copy.value("c")!, "scale");
    expect(String(graph)).toBe(before);
    expect(graph.uses(c)).toHaveLength(1);
  });

  test("a node comes after those whose values its subgraph takes", () => {
    const { graph, c, branchNode } = withBranch();
    const late = graph.addNode({ op: "Neg", inputs: [graph.value("x")] });
    graph.replaceUses(c, late.outputs[0]!);
    graph.sortNodes();
    expect(graph.nodes()).toEqual([late, branchNode]);
  });
});

describe("wrong edits are refused", () => {
  test.each<[string, () => unknown, RegExp]>([
    ["a name twice", () => chain().graph.addInput("x", float), /already has a value named "x"/],
    [
      "a value written twice",
      () => {
        const { graph, relu } = chain();
        graph.addNode({ op: "Neg", inputs: [], outputs: [relu.outputs[0]] });
      },
      /is written by Relu "relu" and by Neg/,
    ],
    [
      "an input written",
      () => {
        const { graph, x } = chain();
        graph.addNode({ op: "Neg", inputs: [], outputs: [x] });
      },
      /is an input or a constant/,
    ],
    ["a foreign value as output", () => chain().graph.addOutput(chain().x), /does not belong to graph/],
    [
      "a foreign value as input",
      () => chain().graph.addNode({ op: "Neg", inputs: [chain().x] }),
      /does not belong to graph/,
    ],
    ["a foreign node", () => chain().graph.remove(chain().relu), /does not belong to graph/],
    [
      "removing what is used",
      () => {
        const { graph, relu } = chain();
        graph.remove(relu);
      },
      /is still used/,
    ],
    [
      "removing an input in use",
      () => {
        const { graph, x } = chain();
        graph.removeInput(x);
      },
      /still used/,
    ],
    [
      "a constant for a node's output",
      () => {
        const { graph, relu } = chain();
        graph.setData(relu.outputs[0]!, tensorOf("float32", [], [1]));
      },
      /has a producer/,
    ],
    [
      "renaming to a name in use",
      () => {
        const { graph, x, relu } = chain();
        graph.rename(relu.outputs[0]!, x.name);
      },
      /already has a value named "x"/,
    ],
  ])("%s", (_, edit, message) => {
    expect(edit).toThrow(DgateError);
    expect(edit).toThrow(message);
  });
});

describe("checkGraph", () => {
  test("accepts whole graphs", () => {
    expect(() => checkGraph(chain().graph)).not.toThrow();
    expect(() => checkGraph(withBranch().graph)).not.toThrow();
  });

  test.each<[string, () => Graph, RegExp]>([
    [
      "a value that nothing writes",
      () => {
        const { graph, relu } = chain();
        graph.setInput(relu, 0, graph.addValue("z"));
        return graph;
      },
      /Relu "relu" reads "z", which nothing writes/,
    ],
    [
      "a subgraph that takes what is not there",
      () => {
        const { branch } = withBranch();
        const graph = new Graph();
        graph.addNode({
          op: "If",
          inputs: [],
          attributes: { then_branch: { kind: "graph", value: branch } },
        });
        return graph;
      },
      /reads "x", which nothing writes/,
    ],
    [
      "a cycle",
      () => {
        const { graph, relu, identity } = chain();
        graph.setInput(relu, 0, identity.outputs[0]);
        return graph;
      },
      /cycle through/,
    ],
    [
      "a constant of the wrong length",
      () => {
        const { graph } = chain();
        graph.addInitializer("c", { dtype: "float32", shape: [2], bytes: new Uint8Array(4) });
        return graph;
      },
      /initializer "c": float32\[2\] needs 8 bytes/,
    ],
  ])("refuses %s", (_, make, message) => {
    expect(() => checkGraph(make())).toThrow(message);
  });
});

test("attributes are set and removed", () => {
  const { graph, relu } = chain();
  graph.setAttribute(relu, "axis", int(1));
  expect(relu.attributes.get("axis")).toEqual(int(1));
  graph.setAttribute(relu, "axis", undefined);
  expect(relu.attributes.size).toBe(0);
});
