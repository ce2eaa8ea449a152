import { randomGenerator } from "@dgate/core";
import { type Batch, float, type Graph, int, ints, type Value } from "@dgate/onnx";
import {
  adam,
  crossEntropy,
  nextToken,
  openTrainer,
  sgd,
  type Trainer,
  type TrainerOptions,
} from "@dgate/onnx/train";
import { GraphBuilder } from "../graph-builder.ts";
import { classBatches, mlp, normals } from "./nets.ts";

/** A net small enough for a GPU that is computed by a CPU, with what it is trained on. */
interface DeviceNet {
  readonly build: () => Graph;
  readonly options: TrainerOptions;
  readonly batches: (count: number) => Iterable<Batch>;
}

/** Images 8×8: convolution, MaxPool, a second convolution, dense: `x [batch, 1, 8, 8]` to `logits [batch, 3]`. */
function convNet(): Graph {
  const net = new GraphBuilder(5, 18);
  const x = net.input("x", ["batch", 1, 8, 8]);
  const a = net.op("Relu", [net.conv("conv1", x, [1, 4], { pads: [1, 1, 1, 1] })]);
  const pooled = net.op("MaxPool", [a], {
    kernel_shape: ints([2, 2]),
    strides: ints([2, 2]),
  });
  const b = net.op("Relu", [net.conv("conv2", pooled, [4, 4])]);
  const flat = net.op("Flatten", [b], { axis: int(1) });
  return net.output(net.gemm("out", flat, [16, 3]));
}

function* imageBatches(count: number): Generator<Batch, void, undefined> {
  for (let i = 0; i < count; i++) {
    const x = normals(100 + i, 4 * 64);
    const labels = [0, 1, 2, 3].map((r) => (x[64 * r]! > 0 ? 1 : 2));
    yield { x: { data: x, shape: [4, 1, 8, 8] }, labels: { data: labels, shape: [4] } };
  }
}

const width = 8;

function norm(net: GraphBuilder, name: string, x: Value): Value {
  const parameters = [net.weight(`${name}/scale`, [width], 0.1, 1), net.weight(`${name}/bias`, [width], 0.1)];
  return net.op("LayerNormalization", [x, ...parameters], { axis: int(-1), epsilon: float(1e-5) }, name);
}

function attention(net: GraphBuilder, x: Value): Value {
  const head = (part: string): Value => {
    // A bias of the keys has no effect: its gradient is rounding, which Adam would make whole steps of.
    const states = net.reshape(
      net.matmul(part, x, [width, width], part !== "key"),
      [0, 0, 2, width / 2],
      `${part}/split`,
    );
    return net.transpose(states, part === "key" ? [0, 2, 3, 1] : [0, 2, 1, 3]);
  };
  const scores = net.op("Mul", [
    net.op("MatMul", [head("query"), head("key")]),
    net.weight("scale", [], 0, 0.5),
  ]);
  const mixed = net.op("MatMul", [net.op("Softmax", [scores], { axis: int(-1) }), head("value")]);
  return net.matmul("merge", net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, 0, width]), [width, width]);
}

/** A language model of one block with two heads: `input_ids [batch, positions]` to `logits [batch, positions, 11]`. */
function transformer(): Graph {
  const net = new GraphBuilder(9, 20);
  const ids = net.input("input_ids", ["batch", "positions"], "int64");
  const words = net.op("Gather", [net.weight("words", [11, width]), ids]);
  const mixed = net.op("Add", [words, attention(net, norm(net, "norm1", words))]);
  const inner = net.op("Gelu", [net.matmul("up", norm(net, "norm2", mixed), [width, 12])]);
  const x = net.op("Add", [mixed, net.matmul("down", inner, [12, width])]);
  return net.output(net.matmul("head", norm(net, "norm3", x), [width, 11], false));
}

function* tokenBatches(count: number): Generator<Batch, void, undefined> {
  const random = randomGenerator(3);
  for (let i = 0; i < count; i++) {
    const ids = Array.from({ length: 10 }, () => random.integer(11));
    yield { input_ids: { data: ids, shape: [2, 5] } };
  }
}

const common = { depth: 3, lambda: 1e-2, train: "all", learningRate: 0.01 } as const;

const deviceNets = {
  mlp: {
    build: mlp,
    options: { ...common, loss: crossEntropy(), optimizer: adam(), clipNorm: 1 },
    batches: (count) => classBatches(count, { rows: 8 }),
  },
  conv: {
    build: convNet,
    options: { ...common, loss: crossEntropy(), optimizer: sgd({ momentum: 0.9 }) },
    batches: imageBatches,
  },
  transformer: {
    build: transformer,
    options: { ...common, loss: nextToken(), optimizer: adam() },
    batches: tokenBatches,
  },
} as const satisfies Readonly<Record<string, DeviceNet>>;

export type DeviceNetName = keyof typeof deviceNets;
export const deviceNetNames = Object.keys(deviceNets) as readonly DeviceNetName[]; // as typed above

export const openDeviceNet = (
  name: DeviceNetName,
  options: Pick<TrainerOptions, "provider" | "updates" | "threads" | "wasmPaths" | "session">,
): Promise<Trainer> => openTrainer(deviceNets[name].build(), { ...deviceNets[name].options, ...options });

export const deviceBatches = (name: DeviceNetName, count: number): Iterable<Batch> =>
  deviceNets[name].batches(count);

/** What some steps came to, as plain data. */
export interface DeviceSteps {
  readonly losses: readonly number[];
  readonly parameters: Readonly<Record<string, readonly number[]>>;
}

export async function deviceSteps(
  name: DeviceNetName,
  trainer: Trainer,
  steps: number,
): Promise<DeviceSteps> {
  const { losses } = await trainer.fit(deviceBatches(name, steps));
  const gated = await trainer.gated();
  const parameters = trainer.parameters.map((parameter) => {
    const { bytes } = gated.value(parameter.name)!.data!;
    return [parameter.name, [...new Float32Array(bytes.slice().buffer)]];
  });
  return { losses: [...losses], parameters: Object.fromEntries(parameters) };
}

/** The largest difference of any loss and any parameter. */
export function largestGap(a: DeviceSteps, b: DeviceSteps): number {
  const numbers = ({ losses, parameters }: DeviceSteps): number[] => [
    ...losses,
    ...Object.values(parameters).flat(),
  ];
  const [left, right] = [numbers(a), numbers(b)];
  if (left.length !== right.length || left.length < 20) return Infinity;
  return left.reduce((most, number, i) => Math.max(most, Math.abs(number - right[i]!)), 0);
}
