import { findSites, Graph, int, type Value } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { mlp, summed } from "../../test/train/nets.ts";
import { crossEntropy, distill, type Loss, meanSquaredError, nextToken, outputLoss } from "./loss.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const refused = (graph: Graph, loss: Loss, options: Partial<TrainerOptions> = {}) =>
  openTrainer(graph, { sites: findSites(graph), loss, ...options }).then(
    () => expect.fail("it was taken"),
    (cause: unknown) => cause as { code: string; message: string },
  );

/** `x` to a hidden layer, what `between` makes of it, and outputs. */
function around(between: (net: GraphBuilder, h: Value) => Value): Graph {
  const net = new GraphBuilder(3, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
  const y = net.gemm("out", between(net, h), [10, 3]);
  net.graph.rename(y, "logits");
  // As exporters declare it: behind what has no shape rule nothing is known.
  y.type = { dtype: "float32", shape: ["batch", 3] };
  return net.output(y);
}

/** As `around`, with a layer after `between` whose neurons can be gated. */
function behind(between: (net: GraphBuilder, h: Value) => Value): Graph {
  const net = new GraphBuilder(3, 18);
  const h = between(net, net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]));
  h.type = { dtype: "float32", shape: ["batch", 10] };
  const y = net.gemm("out", net.op("Tanh", [net.gemm("late", h, [10, 6])]), [6, 3]);
  net.graph.rename(y, "logits");
  return net.output(y);
}

describe("openTrainer refuses", () => {
  test("a loss that does not depend on the gates, naming the site", async () => {
    const net = new GraphBuilder(3, 18);
    const x = net.input("x", ["batch", 8]);
    const h = net.op("Tanh", [net.gemm("fc", x, [8, 10])]);
    const [a, b] = [net.gemm("a", h, [10, 2]), net.gemm("b", x, [8, 2])];
    net.graph.rename(a, "far");
    net.graph.rename(b, "near");
    const { code, message } = await refused(net.output(a, b), meanSquaredError({ output: "near" }));
    expect(code).toBe("NO_MATCH");
    expect(message).toContain('site "fc.neurons"');
  });

  test("a loss that sees the gates only through what has no derivative", async () => {
    const graph = around((net, h) => net.op("Round", [h]));
    const { code, message } = await refused(graph, crossEntropy());
    expect(code).toBe("NO_MATCH");
    expect(message).toContain('site "fc.neurons"');
  });

  test("a loss of several elements", async () => {
    const { code, message } = await refused(mlp(), outputLoss());
    expect(code).toBe("OPTION");
    expect(message).toContain('the loss "logits" is [batch, 3], expected one element');
  });

  test("outputs that are not there, or a choice that is not made", async () => {
    const other = await refused(mlp(), crossEntropy({ logits: "scores" }));
    expect(other.code).toBe("OPTION");
    expect(other.message).toContain('no output "scores"; it has logits');
    const net = new GraphBuilder(3, 18);
    const x = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
    const open = await refused(net.output(net.gemm("a", x, [10, 2]), net.gemm("b", x, [10, 2])), distill());
    expect(open.code).toBe("OPTION");
    expect(open.message).toContain("say which output");
  });

  test("the name of a value of the model for an input of the loss", async () => {
    const { code, message } = await refused(mlp(), crossEntropy({ labels: "fc1/kernel" }));
    expect(code).toBe("OPTION");
    expect(message).toContain('"fc1/kernel" is a value of the model already');
  });

  test("an If between the gates and the loss, naming it", async () => {
    const graph = around((net, h) => {
      const flag = net.input("flag", [], "int64");
      const branch = (op: string): Graph => {
        const inner = new Graph(op, []);
        const outer = inner.addOuter(h.name, { dtype: "float32", shape: ["batch", 10] });
        inner.addOutput(inner.addNode({ op, inputs: [outer], name: `${op}_inside` }).outputs[0]!);
        return inner;
      };
      const choice = net.op("Cast", [flag], { to: int(9) });
      return net.op(
        "If",
        [choice],
        {
          then_branch: { kind: "graph", value: branch("Tanh") },
          else_branch: { kind: "graph", value: branch("Sigmoid") },
        },
        "choose",
      );
    });
    const { code, message } = await refused(graph, crossEntropy());
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain('If "choose"');
    expect(message).toContain("control flow");
  });

  test("an operator without a derivative on the way, naming operator, node and domain", async () => {
    const lstm = behind((net, h) => {
      const sequence = net.op("Unsqueeze", [h, net.integers("axes", [0])]);
      const weights = [net.weight("w", [1, 40, 10]), net.weight("r", [1, 40, 10])];
      const y = net.op("LSTM", [sequence, ...weights], { hidden_size: int(10) }, "memory");
      return net.op("Squeeze", [y, net.integers("axes", [0, 1])]);
    });
    const custom = behind((net, h) => {
      return net.graph.addNode({ op: "Swirl", domain: "com.example", inputs: [h], name: "swirl" })
        .outputs[0]!;
    });
    custom.opsets.set("com.example", 1);
    for (const [graph, node, domain] of [
      [lstm, 'LSTM "memory"', "ai.onnx"],
      [custom, 'Swirl "swirl"', "com.example"],
    ] as const) {
      const { code, message } = await refused(graph, crossEntropy(), {
        gate: ["late.neurons"],
        train: "all",
      });
      expect(code).toBe("UNSUPPORTED");
      expect(message).toContain(node);
      expect(message).toContain(`"${domain}"`);
    }
  });

  test("classes whose number is not known", async () => {
    const net = new GraphBuilder(3, 18);
    const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
    const y = net.gemm("out", h, [10, 3]);
    const z = net.op("Reshape", [y, net.input("target", [2], "int64")]);
    net.graph.rename(z, "logits");
    const { code, message } = await refused(net.output(z), crossEntropy());
    expect(code).toBe("UNSUPPORTED");
    expect(message).toContain('classes of "logits"');
  });

  test("options out of range", async () => {
    for (const [options, told] of [
      [{ depth: 1 }, "depth is 1"],
      [{ depth: 2.5 }, "depth is 2.5"],
      [{ threads: 0 }, "threads"],
      [{ provider: "cuda" as "cpu" }, "provider"],
      [{ lambda: { target: 2 } }, "target is 2"],
      [{ gate: ["nothing"] }, "nothing"],
    ] as const) {
      const { message } = await refused(mlp(), crossEntropy(), options);
      expect(message).toContain(told);
    }
    expect(() => distill({ temperature: 0 })).toThrow("temperature is 0");
  });

  test("λ that is negative or no number, at the step that would use it", async () => {
    const graph = summed();
    for (const lambda of [-1, Number.NaN, Infinity]) {
      const trainer = await openTrainer(graph, { sites: findSites(graph), loss: outputLoss(), lambda });
      const batch = { x: { data: new Float32Array(8), shape: [1, 8] } };
      await expect(trainer.fit([batch])).rejects.toMatchObject({
        code: "OPTION",
        message: expect.stringContaining(`lambda is ${lambda}`),
      });
      await trainer.dispose();
    }
  });
});

test("a loss that needs positions finds that there are none", async () => {
  const { code, message } = await refused(mlp(), nextToken());
  expect(code).toBe("SHAPE");
  expect(message).toContain('"logits" has 2 axes');
});
