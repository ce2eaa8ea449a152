import { type Graph, int, normalise, type Value } from "@dgate/onnx";
import { denormalise } from "../src/normal-form/normalise.ts";
import { GraphBuilder } from "./graph-builder.ts";

/** A small network by name, for tests of gates: each has another way in which channels stand in its weights. */
export type GatedNetwork = keyof typeof networks;

const networks = {
  /** Neurons are columns. */
  mlp: (net: GraphBuilder): Value => {
    const hidden = net.op("Relu", [net.gemm("fc1", net.input("x", ["batch", 5]), [5, 7])]);
    return net.gemm("fc2", net.op("Tanh", [net.gemm("mid", hidden, [7, 6], { transB: true })]), [6, 3]);
  },
  /** Filters, normalisation, flattened features, an unpadded layer after them. */
  cnn: (net: GraphBuilder): Value => {
    const x = net.input("x", ["batch", 2, 7, 7]);
    const first = net.op("Relu", [net.batchNorm("bn", net.conv("c1", x, [2, 6]), 6)]);
    const second = net.op("Relu", [net.conv("c2", first, [6, 4], { bias: false })]);
    return net.gemm("head", net.op("Flatten", [second]), [36, 3]);
  },
  /** Two layers make one stream. */
  residual: (net: GraphBuilder): Value => {
    const a = net.matmul("a", net.input("x", ["batch", 4, 5]), [5, 6]);
    const b = net.matmul("b", net.op("Relu", [a]), [6, 6], false);
    return net.matmul("head", net.op("Add", [a, b]), [6, 3]);
  },
  /** Three residual branches, each of two layers. */
  branches: (net: GraphBuilder): Value => {
    let stream = net.op("Relu", [net.gemm("in", net.input("x", ["batch", 5]), [5, 6])]);
    for (const name of ["b0", "b1", "b2"]) {
      const hidden = net.op("Relu", [net.gemm(`${name}/up`, stream, [6, 8])]);
      stream = net.op("Add", [stream, net.gemm(`${name}/down`, hidden, [8, 6])]);
    }
    return net.gemm("head", stream, [6, 3]);
  },
  /** A grouped convolution: each channel stands in every group. */
  grouped: (net: GraphBuilder): Value => {
    const wide = net.op("Relu", [net.conv("c1", net.input("x", ["batch", 2, 5, 5]), [2, 8])]);
    const mixed = net.op("Relu", [net.conv("c2", wide, [8, 6], { group: 2, kernel: [1, 1] })]);
    return net.conv("head", net.op("GlobalAveragePool", [mixed]), [6, 3], { kernel: [1, 1] });
  },
  /** Channels c·2 + g become g·4 + c. */
  shuffled: (net: GraphBuilder): Value => {
    const wide = net.conv("c1", net.input("x", ["batch", 3, 4, 4]), [3, 8], { kernel: [1, 1] });
    const split = net.reshape(wide, [0, 4, 2, 4, 4], "split");
    const merged = net.reshape(net.op("Transpose", [split], permutation), [0, 8, 4, 4], "merge");
    return net.conv("head", net.op("GlobalMaxPool", [merged]), [8, 3], { kernel: [1, 1] });
  },
  /** Two layers' channels side by side in the weight of a third. */
  concat: (net: GraphBuilder): Value => {
    const x = net.input("x", ["batch", 4]);
    const both = net.op("Concat", [net.gemm("a", x, [4, 5]), net.gemm("b", x, [4, 3])], { axis: int(1) });
    return net.gemm("head", net.op("Relu", [both]), [8, 3]);
  },
  /** One layer whose outputs part: a channel stands on a part of the axis only. */
  split: (net: GraphBuilder): Value => {
    const wide = net.gemm("wide", net.input("x", ["batch", 4]), [4, 9]);
    const sizes = net.integers("sizes", [6, 3]);
    const attributes = { axis: int(1) };
    const [a, b] = net.graph.addNode({ op: "Split", inputs: [wide, sizes], outputs: 2, attributes }).outputs;
    return net.op("Add", [net.gemm("ha", net.op("Relu", [a]), [6, 3]), net.gemm("hb", b!, [3, 3])]);
  },
  /** Three heads of four. */
  attention: (net: GraphBuilder): Value => {
    const x = net.input("x", ["batch", 5, 12]);
    const heads = (name: string): Value => {
      return net.transpose(
        net.reshape(net.matmul(name, x, [12, 12]), [0, 0, 3, 4], `${name}/split`),
        [0, 2, 1, 3],
      );
    };
    const scores = net.op("MatMul", [heads("q"), net.transpose(heads("k"), [0, 1, 3, 2])], {}, "attn/scores");
    const weights = net.op("Softmax", [scores], { axis: int(-1) }, "attn/softmax");
    const context = net.transpose(net.op("MatMul", [weights, heads("v")], {}, "attn/context"), [0, 2, 1, 3]);
    return net.matmul("o", net.reshape(context, [0, 0, 12], "merge"), [12, 8]);
  },
};

const permutation = { perm: { kind: "ints" as const, value: [0, 2, 1, 3, 4] } };

/** The names of all of them. */
export const networkNames = Object.keys(networks) as GatedNetwork[]; // its own keys

/** One of them with random weights. */
export function network(name: GatedNetwork, seed = 1, opset = 17): Graph {
  const net = new GraphBuilder(seed, opset);
  return net.output(networks[name](net));
}

/** A model as `insertGates` stores it, without gates: what folding them gives back. */
export function stored(graph: Graph): Graph {
  const copy = normalise(graph);
  denormalise(copy);
  return copy;
}
