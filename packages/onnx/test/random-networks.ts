import { fc } from "@dgate/testing";
import type { Graph, Value } from "@dgate/onnx";
import { int, ints, string } from "@dgate/onnx";
import { GraphBuilder } from "./graph-builder.ts";

const steps = [
  "conv",
  "grouped",
  "depthwise",
  "norm",
  "residual",
  "concat",
  "split",
  "slice",
  "up",
  "excite",
  "rms",
] as const;

/** `[batch, 2, 5, 5]` through the steps to four scores. */
interface ConvNet {
  readonly seed: number;
  readonly steps: readonly (typeof steps)[number][];
  readonly activation: string;
  readonly head: "flatten" | "computed" | "pooled";
  readonly batch: string | number;
}

/** `[batch, 6, 12]` through blocks of attention and FFN to `[batch, 6, 5]`. */
interface Transformer {
  readonly seed: number;
  readonly blocks: number;
  readonly heads: number;
  readonly shapes: "constant" | "computed";
  readonly norm: "before" | "after";
  readonly activation: string;
}

/** Random networks of convolutions with a classifier, or of transformer blocks. */
export const networks: fc.Arbitrary<ConvNet | Transformer> = fc.oneof(
  fc.record<ConvNet>({
    seed: fc.nat(),
    steps: fc.array(fc.constantFrom(...steps), { minLength: 1, maxLength: 6 }),
    activation: fc.constantFrom("Relu", "Sigmoid", "Tanh"),
    head: fc.constantFrom("flatten", "computed", "pooled"),
    batch: fc.constantFrom("batch", 2),
  }),
  fc.record<Transformer>({
    seed: fc.nat(),
    blocks: fc.integer({ min: 1, max: 2 }),
    heads: fc.constantFrom(2, 3),
    shapes: fc.constantFrom("constant", "computed"),
    norm: fc.constantFrom("before", "after"),
    activation: fc.constantFrom("Relu", "Gelu", "Sigmoid"),
  }),
);

/** The network that a record describes, with random weights. */
export const buildNetwork = (net: ConvNet | Transformer): Graph =>
  "steps" in net ? convNet(net) : transformer(net);

interface State {
  readonly x: Value;
  readonly channels: number;
}

type Step = (net: GraphBuilder, name: string, state: State) => State;

const pointwise = { kernel: [1, 1] } as const;
const same = { pads: [1, 1, 1, 1] } as const;

const stepRules: { readonly [S in (typeof steps)[number]]: Step } = {
  conv: (net, name, { x, channels }) => ({ x: net.conv(name, x, [channels, 6], same), channels: 6 }),
  grouped: (net, name, { x, channels }) => {
    const group = channels % 2 === 0 ? 2 : 1;
    return { x: net.conv(name, x, [channels, 6], { ...pointwise, group, bias: false }), channels: 6 };
  },
  depthwise: (net, name, { x, channels }) => ({
    x: net.conv(name, x, [channels, channels], { ...same, group: channels }),
    channels,
  }),
  norm: (net, name, state) => ({ ...state, x: net.batchNorm(name, state.x, state.channels) }),
  residual: (net, name, { x, channels }) => {
    const inner = net.op("Sigmoid", [net.conv(`${name}/a`, x, [channels, 5], pointwise)]);
    const outer = net.conv(`${name}/b`, inner, [5, channels], { ...pointwise, bias: false });
    return { x: net.op("Add", [net.batchNorm(`${name}/bn`, outer, channels), x]), channels };
  },
  concat: (net, name, { x, channels }) => {
    const other = net.conv(name, x, [channels, 3], pointwise);
    return { x: net.op("Concat", [other, x], { axis: int(1) }), channels: channels + 3 };
  },
  split: (net, name, { x, channels }) => {
    const wide = net.conv(name, x, [channels, 8], pointwise);
    const [a, b] = net.graph.addNode({
      op: "Split",
      name: `${name}/split`,
      inputs: [wide],
      outputs: 2,
      attributes: { axis: int(1) },
    }).outputs;
    return { x: net.op("Mul", [net.op("Sigmoid", [a]), net.op("Tanh", [b])]), channels: 4 };
  },
  slice: (net, name, { x, channels }) => {
    const wide = net.conv(name, x, [channels, 9], pointwise);
    const two = net.integers(`${name}/two`, [2]);
    const range = [two, net.integers(`${name}/ends`, [-2]), net.integers(`${name}/axes`, [1])];
    const [sliced, again] = [net.op("Slice", [wide, ...range]), net.op("Slice", [wide, ...range])];
    return { x: net.op("Add", [sliced, net.op("Tanh", [again])]), channels: 5 };
  },
  up: (net, name, { x, channels }) => ({
    x: net.op("MaxPool", [net.convTranspose(name, x, [channels, 4], { strides: [2, 2] })], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
    }),
    channels: 4,
  }),
  excite: (net, name, { x, channels }) => {
    const pooled = net.op("GlobalAveragePool", [x]);
    const squeezed = net.op("Relu", [net.conv(`${name}/a`, pooled, [channels, 3], pointwise)]);
    const gate = net.op("Sigmoid", [net.conv(`${name}/b`, squeezed, [3, channels], pointwise)]);
    return { x: net.op("Mul", [x, gate]), channels };
  },
  rms: (net, name, { x, channels }) => {
    const hidden = net.op("Relu", [net.conv(name, x, [channels, 7], { ...pointwise, bias: false })]);
    const mean = net.op("ReduceMean", [net.op("Mul", [hidden, hidden])], { axes: ints([1]) });
    const root = net.op("Sqrt", [net.op("Add", [mean, net.weight(`${name}/epsilon`, [1], 0, 1e-3)])]);
    return { x: net.op("Div", [hidden, root]), channels: 7 };
  },
};

function convNet({ seed, steps: chosen, activation, head, batch }: ConvNet): Graph {
  const net = new GraphBuilder(seed, 17);
  let state: State = { x: net.input("x", [batch, 2, 5, 5]), channels: 2 };
  chosen.forEach((step, i) => {
    const next = stepRules[step](net, `${step}${i}`, state);
    state = { ...next, x: net.op(activation, [next.x]) };
  });
  const features = 25 * state.channels;
  if (head === "flatten") return net.output(net.gemm("head", net.op("Flatten", [state.x]), [features, 4]));
  if (head === "computed") {
    const flat = net.op("Reshape", [state.x, computedShape(net, state.x, [0], [features])]);
    return net.output(net.matmul("head", flat, [features, 4], seed % 2 === 0));
  }
  return net.output(net.conv("head", net.op("GlobalAveragePool", [state.x]), [state.channels, 4], pointwise));
}

/** `Concat(Shape(x)[axes], sizes)`, as exporters write it. */
function computedShape(
  net: GraphBuilder,
  x: Value,
  axes: readonly number[],
  sizes: readonly number[],
): Value {
  const shape = net.op("Shape", [x]);
  const taken = net.op("Gather", [shape, net.integers("axes", axes)], { axis: int(0) });
  return net.op("Concat", [taken, net.integers("sizes", sizes)], { axis: int(0) });
}

function transformer({ seed, blocks, heads, shapes, norm, activation }: Transformer): Graph {
  const net = new GraphBuilder(seed, 20);
  const width = 12;
  const normalised = (name: string, x: Value): Value =>
    net.op("LayerNormalization", [
      x,
      net.weight(`${name}/gamma`, [width], 0.3, 1),
      net.weight(`${name}/beta`, [width]),
    ]);
  const reshape = (x: Value, sizes: readonly number[]): Value =>
    net.op("Reshape", [
      x,
      shapes === "constant"
        ? net.integers("shape", [0, 6, ...sizes])
        : computedShape(net, x, [0], [6, ...sizes]),
    ]);
  const add = (name: string, x: Value, branch: (x: Value) => Value): Value =>
    norm === "before"
      ? net.op("Add", [x, branch(normalised(name, x))])
      : normalised(name, net.op("Add", [branch(x), x]));
  const attention = (name: string, x: Value): Value => {
    const split = (part: string): Value =>
      net.transpose(
        reshape(net.matmul(`${name}/${part}`, x, [width, width]), [heads, width / heads]),
        [0, 2, 1, 3],
      );
    const scores = net.op("Softmax", [
      net.op("MatMul", [split("q"), net.transpose(split("k"), [0, 1, 3, 2])]),
    ]);
    const context =
      seed % 2 === 0
        ? net.op("MatMul", [scores, split("v")])
        : net.op("Einsum", [scores, split("v")], { equation: string("bhqk,bhkd->bhqd") });
    return net.matmul(`${name}/o`, reshape(net.transpose(context, [0, 2, 1, 3]), [width]), [width, width]);
  };
  let x = net.input("x", ["batch", 6, width]);
  for (let i = 0; i < blocks; i++) {
    x = add(`b${i}/n1`, x, (from) => attention(`b${i}/attention`, from));
    x = add(`b${i}/n2`, x, (from) => {
      const hidden = net.op(activation, [net.matmul(`b${i}/up`, from, [width, 10])]);
      return net.matmul(`b${i}/down`, hidden, [10, width], i % 2 === 0);
    });
  }
  return net.output(net.matmul("head", x, [width, 5]));
}
