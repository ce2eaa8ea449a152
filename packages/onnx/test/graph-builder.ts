import { type RandomGenerator, randomGenerator } from "@dgate/core";
import { type Attribute, float, Graph, int, ints, tensorOf, type Value } from "@dgate/onnx";

/** Options of a convolution in a test network; lists are per spatial axis. */
export interface ConvOptions {
  readonly kernel?: readonly number[];
  readonly strides?: readonly number[];
  readonly pads?: readonly number[];
  readonly dilations?: readonly number[];
  readonly group?: number;
  readonly bias?: boolean;
  readonly autoPad?: string;
}

/** Builds small networks with random weights for tests. Every weight and bias is a standard normal number, scaled. */
export class GraphBuilder {
  readonly graph: Graph;
  readonly #random: RandomGenerator;
  #count = 0;

  constructor(seed = 1, opset = 17) {
    this.graph = new Graph("test", [["", opset]]);
    this.#random = randomGenerator(seed);
  }

  input(name: string, shape: readonly (number | string)[], dtype: "float32" | "int64" = "float32"): Value {
    return this.graph.addInput(name, { dtype, shape });
  }

  output(...values: Value[]): Graph {
    for (const value of values) this.graph.addOutput(value);
    return this.graph;
  }

  /** A constant of random numbers with mean `shift`. */
  weight(name: string, shape: readonly number[], scale = 1, shift = 0): Value {
    const count = shape.reduce((a, b) => a * b, 1);
    const numbers = Array.from({ length: count }, () => shift + scale * this.#random.normal());
    return this.graph.addInitializer(name, tensorOf("float32", shape, numbers));
  }

  /** Positive random numbers, for variances. */
  positive(name: string, size: number): Value {
    const numbers = Array.from({ length: size }, () => 0.5 + this.#random.next());
    return this.graph.addInitializer(name, tensorOf("float32", [size], numbers));
  }

  integers(name: string, numbers: readonly number[]): Value {
    return this.graph.addInitializer(
      this.graph.freshName(name),
      tensorOf("int64", [numbers.length], numbers),
    );
  }

  /** A node with one output. */
  op(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
    name = `${op.toLowerCase()}_${++this.#count}`,
  ): Value {
    return this.graph.addNode({ op, inputs, attributes, name }).outputs[0]!;
  }

  gemm(
    name: string,
    x: Value,
    [inputs, outputs]: readonly [number, number],
    { bias = true, transB = false } = {},
  ): Value {
    const w = this.weight(
      `${name}/kernel`,
      transB ? [outputs, inputs] : [inputs, outputs],
      1 / Math.sqrt(inputs),
    );
    const b = bias ? this.weight(`${name}/bias`, [outputs]) : undefined;
    return this.op("Gemm", b ? [x, w, b] : [x, w], transB ? { transB: int(1) } : {}, name);
  }

  matmul(name: string, x: Value, [inputs, outputs]: readonly [number, number], bias = true): Value {
    const y = this.op(
      "MatMul",
      [x, this.weight(`${name}/kernel`, [inputs, outputs], 1 / Math.sqrt(inputs))],
      {},
      name,
    );
    return bias ? this.op("Add", [y, this.weight(`${name}/bias`, [outputs])], {}, `${name}/add`) : y;
  }

  conv(
    name: string,
    x: Value,
    [channels, filters]: readonly [number, number],
    options: ConvOptions = {},
  ): Value {
    const { kernel = [3, 3], group = 1, bias = true } = options;
    const perGroup = channels / group;
    const fan = perGroup * kernel.reduce((a, b) => a * b, 1);
    const w = this.weight(`${name}/kernel`, [filters, perGroup, ...kernel], 1 / Math.sqrt(fan));
    const b = bias ? this.weight(`${name}/bias`, [filters]) : undefined;
    return this.op("Conv", b ? [x, w, b] : [x, w], windowAttributes(kernel, options), name);
  }

  convTranspose(
    name: string,
    x: Value,
    [channels, filters]: readonly [number, number],
    options: ConvOptions = {},
  ): Value {
    const { kernel = [2, 2], group = 1, bias = true } = options;
    const w = this.weight(`${name}/kernel`, [channels, filters / group, ...kernel], 1 / Math.sqrt(channels));
    const b = bias ? this.weight(`${name}/bias`, [filters]) : undefined;
    return this.op("ConvTranspose", b ? [x, w, b] : [x, w], windowAttributes(kernel, options), name);
  }

  batchNorm(name: string, x: Value, channels: number): Value {
    const parameters = [
      this.weight(`${name}/gamma`, [channels], 0.3, 1),
      this.weight(`${name}/beta`, [channels]),
      this.weight(`${name}/mean`, [channels], 0.3),
      this.positive(`${name}/variance`, channels),
    ];
    return this.op("BatchNormalization", [x, ...parameters], { epsilon: float(1e-3) }, name);
  }

  reshape(x: Value, shape: readonly number[], name?: string): Value {
    return this.op("Reshape", [x, this.integers(`${name ?? "reshape"}/shape`, shape)], {}, name);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op("Transpose", [x], { perm: ints(perm) });
  }
}

function windowAttributes(kernel: readonly number[], options: ConvOptions): Record<string, Attribute> {
  const { strides, pads, dilations, group = 1, autoPad } = options;
  return {
    kernel_shape: ints(kernel),
    ...(strides && { strides: ints(strides) }),
    ...(pads && { pads: ints(pads) }),
    ...(dilations && { dilations: ints(dilations) }),
    ...(group > 1 && { group: int(group) }),
    ...(autoPad !== undefined && { auto_pad: { kind: "string" as const, value: autoPad } }),
  };
}
