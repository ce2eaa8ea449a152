import { float, int, ints, string, tensorOf, type Value } from "@dgate/onnx";
import { type ConvOptions, GraphBuilder } from "../graph-builder.ts";

export type Activation = "relu" | "relu6" | "silu" | "hardSwish" | "mish" | "gelu" | "none";

/** A square convolution as torch.nn.Conv2d takes it. */
export interface LayerOptions {
  readonly kernel?: number;
  readonly stride?: number;
  readonly pad?: number;
  readonly group?: number;
  readonly activation?: Activation;
}

/** How an exporter writes what has several forms. */
export interface Style {
  readonly opset: number;
  /** BatchNormalization as a node of its own, or folded into the convolution's weight and bias. */
  readonly batchNorm?: "separate" | "folded";
  /** `[N, C, 1, 1] → [N, C]` by Flatten, by Reshape to `[-1, C]`, or by `Shape → Gather → Concat → Reshape`. */
  readonly flatten?: "Flatten" | "constant" | "computed";
  readonly seed?: number;
}

/** Layers in the forms that torch.onnx.export gives them in each operator set. */
export class NetBuilder extends GraphBuilder {
  readonly style: Style;

  constructor(style: Style) {
    super(style.seed ?? 1, style.opset);
    this.style = style;
  }

  get opset(): number {
    return this.style.opset;
  }

  scalar(name: string, number: number): Value {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf("float32", [], [number]));
  }

  floats(name: string, shape: readonly number[], numbers: readonly number[]): Value {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf("float32", shape, numbers));
  }

  /** Conv2d (+ BatchNorm2d + activation). */
  layer(name: string, x: Value, widths: readonly [number, number], options: LayerOptions = {}): Value {
    const { activation = "relu" } = options;
    const folded = this.style.batchNorm === "folded";
    const y = this.conv2d(`${name}/conv`, x, widths, { ...options, bias: folded });
    return this.activate(activation, folded ? y : this.batchNorm(`${name}/bn`, y, widths[1]), name);
  }

  conv2d(
    name: string,
    x: Value,
    widths: readonly [number, number],
    { kernel = 3, stride = 1, pad = 0, group = 1, bias = true }: LayerOptions & { bias?: boolean } = {},
  ): Value {
    return this.conv(name, x, widths, square({ kernel, stride, pad, group, bias }));
  }

  upConv2d(
    name: string,
    x: Value,
    widths: readonly [number, number],
    { kernel = 2, stride = 2, pad = 0, group = 1, bias = true }: LayerOptions & { bias?: boolean } = {},
  ): Value {
    return this.convTranspose(name, x, widths, square({ kernel, stride, pad, group, bias }));
  }

  activate(activation: Activation, x: Value, name: string): Value {
    switch (activation) {
      case "none":
        return x;
      case "relu":
        return this.op("Relu", [x]);
      case "relu6":
        return this.op("Clip", [x, this.scalar(`${name}/min`, 0), this.scalar(`${name}/max`, 6)]);
      case "silu":
        return this.op("Mul", [x, this.op("Sigmoid", [x])]);
      case "hardSwish":
        return this.hardSwish(x, name);
      case "mish":
        return this.op("Mul", [x, this.op("Tanh", [this.op("Softplus", [x])])]);
      default:
        return this.gelu(x, name);
    }
  }

  /** One node from operator set 14 on; x·HardSigmoid(x) in 13; Add, Clip, Div, Mul before. */
  hardSwish(x: Value, name: string): Value {
    if (this.opset >= 14) return this.op("HardSwish", [x]);
    if (this.opset >= 13) {
      return this.op("Mul", [x, this.op("HardSigmoid", [x], { alpha: float(1 / 6), beta: float(0.5) })]);
    }
    const shifted = this.op("Add", [x, this.scalar(`${name}/three`, 3)]);
    const clipped = this.op("Clip", [shifted, this.scalar(`${name}/low`, 0), this.scalar(`${name}/high`, 6)]);
    return this.op("Mul", [x, this.op("Div", [clipped, this.scalar(`${name}/six`, 6)])]);
  }

  /** x·(1 + erf(x/√2))/2 before operator set 20. */
  gelu(x: Value, name: string): Value {
    if (this.opset >= 20) return this.op("Gelu", [x]);
    const erf = this.op("Erf", [this.op("Div", [x, this.scalar(`${name}/sqrt2`, Math.SQRT2)])]);
    const gate = this.op("Add", [erf, this.scalar(`${name}/one`, 1)]);
    return this.op("Mul", [this.op("Mul", [x, gate]), this.scalar(`${name}/half`, 0.5)]);
  }

  maxPool(x: Value, kernel: number, stride: number, pad = 0): Value {
    return this.op("MaxPool", [x], {
      kernel_shape: ints([kernel, kernel]),
      strides: ints([stride, stride]),
      pads: ints([pad, pad, pad, pad]),
      ceil_mode: int(0),
    });
  }

  averagePool(x: Value, kernel: number, stride: number, pad = 0): Value {
    return this.op("AveragePool", [x], {
      kernel_shape: ints([kernel, kernel]),
      strides: ints([stride, stride]),
      pads: ints([pad, pad, pad, pad]),
      count_include_pad: int(1),
    });
  }

  /** Axes are an attribute before operator set 18. */
  reduceMean(x: Value, axes: readonly number[], keep: boolean): Value {
    const keepdims = int(keep ? 1 : 0);
    if (this.opset < 18) return this.op("ReduceMean", [x], { axes: ints(axes), keepdims });
    return this.op("ReduceMean", [x, this.integers("axes", axes)], { keepdims });
  }

  unsqueeze(x: Value, axes: readonly number[]): Value {
    if (this.opset < 13) return this.op("Unsqueeze", [x], { axes: ints(axes) });
    return this.op("Unsqueeze", [x, this.integers("axes", axes)]);
  }

  squeeze(x: Value, axes: readonly number[]): Value {
    if (this.opset < 13) return this.op("Squeeze", [x], { axes: ints(axes) });
    return this.op("Squeeze", [x, this.integers("axes", axes)]);
  }

  split(x: Value, sizes: readonly number[], axis = 1): Value[] {
    const old = this.opset < 13;
    const { outputs } = this.graph.addNode({
      op: "Split",
      name: `split_${x.name}`,
      inputs: old ? [x] : [x, this.integers("sizes", sizes)],
      outputs: sizes.length,
      attributes: { axis: int(axis), ...(old && { split: ints(sizes) }) },
    });
    return outputs.map((output) => output!);
  }

  slice(
    x: Value,
    starts: readonly number[],
    ends: readonly number[],
    axes: readonly number[],
    steps?: number[],
  ): Value {
    const lists = [starts, ends, axes, ...(steps ? [steps] : [])];
    return this.op("Slice", [x, ...lists.map((list, i) => this.integers(`slice${i}`, list))]);
  }

  concat(parts: readonly Value[], axis = 1): Value {
    return this.op("Concat", parts, { axis: int(axis) });
  }

  /** `[N, C, 1, 1] → [N, C]` in the network's style. */
  flatten(x: Value, features: number): Value {
    switch (this.style.flatten) {
      case "constant":
        return this.reshape(x, [-1, features], "flatten");
      case "computed": {
        const size = this.op("Gather", [this.op("Shape", [x]), this.integer("index", 0)], { axis: int(0) });
        const shape = this.concat([this.unsqueeze(size, [0]), this.integers("rest", [-1])], 0);
        return this.op("Reshape", [x, shape], {}, "flatten");
      }
      default:
        return this.op("Flatten", [x], { axis: int(1) }, "flatten");
    }
  }

  integer(name: string, number: number): Value {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf("int64", [], [number]));
  }

  /** Global average, flatten, Linear: the output is named `logits`. */
  classifier(x: Value, features: number, classes = 10): Value {
    const pooled = this.flatten(this.op("GlobalAveragePool", [x]), features);
    return this.linear("fc", pooled, [features, classes], "logits");
  }

  /** torch.nn.Linear on two axes: Gemm with a transposed weight. */
  linear(name: string, x: Value, widths: readonly [number, number], output?: string): Value {
    const y = this.gemm(name, x, widths, { transB: true });
    if (output !== undefined) this.graph.rename(y, output);
    return y;
  }

  /** Squeeze and excitation: pooled, through two 1×1 convolutions, back as a factor for each channel. */
  squeezeExcite(
    name: string,
    x: Value,
    [channels, squeezed]: readonly [number, number],
    inner: Activation,
    gate: "Sigmoid" | "HardSigmoid",
  ): Value {
    const pooled = this.op("GlobalAveragePool", [x]);
    const hidden = this.activate(
      inner,
      this.conv2d(`${name}/reduce`, pooled, [channels, squeezed], { kernel: 1 }),
      name,
    );
    const wide = this.conv2d(`${name}/expand`, hidden, [squeezed, channels], { kernel: 1 });
    const attributes = gate === "HardSigmoid" ? { alpha: float(1 / 6), beta: float(0.5) } : {};
    return this.op("Mul", [x, this.op(gate, [wide], attributes)]);
  }

  /** LayerNorm over the last axis; before operator set 17 from its parts. */
  layerNorm(name: string, x: Value, width: number): Value {
    const scale = this.weight(`${name}/weight`, [width], 0.3, 1);
    const bias = this.weight(`${name}/bias`, [width]);
    if (this.opset >= 17) {
      const attributes = { axis: int(-1), epsilon: float(1e-5) };
      return this.op("LayerNormalization", [x, scale, bias], attributes, name);
    }
    const centred = this.op("Sub", [x, this.reduceMean(x, [-1], true)]);
    const squares = this.op("Pow", [centred, this.scalar(`${name}/two`, 2)]);
    const variance = this.op("Add", [this.reduceMean(squares, [-1], true), this.scalar(`${name}/eps`, 1e-5)]);
    const normal = this.op("Div", [centred, this.op("Sqrt", [variance])]);
    return this.op("Add", [this.op("Mul", [normal, scale]), bias]);
  }

  /**
   * GroupNorm as torch exports it: `[N, C, H, W] → [N, groups, …]`, InstanceNormalization without parameters, back, and one
   * factor and one summand for each channel.
   */
  torchGroupNorm(name: string, x: Value, channels: number, groups: number): Value {
    const grouped = this.reshape(x, [0, groups, -1], `${name}/groups`);
    const ones = this.floats(
      `${name}/ones`,
      [groups],
      Array.from({ length: groups }, () => 1),
    );
    const zeros = this.floats(
      `${name}/zeros`,
      [groups],
      Array.from({ length: groups }, () => 0),
    );
    const normal = this.op("InstanceNormalization", [grouped, ones, zeros], { epsilon: float(1e-5) }, name);
    const back = this.op("Reshape", [normal, this.op("Shape", [x])]);
    const scaled = this.op("Mul", [back, this.weight(`${name}/weight`, [channels, 1, 1], 0.3, 1)]);
    return this.op("Add", [scaled, this.weight(`${name}/bias`, [channels, 1, 1])]);
  }

  /** The operator: one scale for each group in operator set 18, for each channel from 21 on. */
  groupNorm(name: string, x: Value, channels: number, groups: number): Value {
    const size = this.opset < 21 ? groups : channels;
    const parameters = [this.weight(`${name}/scale`, [size], 0.3, 1), this.weight(`${name}/bias`, [size])];
    return this.op(
      "GroupNormalization",
      [x, ...parameters],
      { num_groups: int(groups), epsilon: float(1e-5) },
      name,
    );
  }

  instanceNorm(name: string, x: Value, channels: number): Value {
    const parameters = [
      this.weight(`${name}/scale`, [channels], 0.3, 1),
      this.weight(`${name}/bias`, [channels]),
    ];
    return this.op("InstanceNormalization", [x, ...parameters], { epsilon: float(1e-5) }, name);
  }

  /** Twice the size by fixed factors (F.interpolate with scale_factor). */
  upsample(x: Value, mode: "nearest" | "linear" = "nearest"): Value {
    const scales = this.floats("scales", [4], [1, 1, 2, 2]);
    const asymmetric = {
      coordinate_transformation_mode: string("asymmetric"),
      nearest_mode: string("floor"),
    };
    const smooth = { coordinate_transformation_mode: string("half_pixel") };
    const attributes = { mode: string(mode), ...(mode === "nearest" ? asymmetric : smooth) };
    const roi = this.opset < 13 ? this.floats("roi", [0], []) : undefined;
    return this.op("Resize", [x, roi, scales], attributes);
  }

  /** To the size of another value: `F.interpolate(x, size=other.shape[2:])`. */
  upsampleTo(x: Value, other: Value): Value {
    const positions = this.slice(this.op("Shape", [other]), [2], [4], [0]);
    const channels = this.slice(this.op("Shape", [x]), [0], [2], [0]);
    const sizes = this.concat([channels, positions], 0);
    const [roi, scales] =
      this.opset < 13 ? [this.floats("roi", [0], []), this.floats("noScales", [0], [])] : [];
    return this.op("Resize", [x, roi, scales, sizes], {
      mode: string("nearest"),
      nearest_mode: string("floor"),
    });
  }

  /** Blocks of 2 × 2 channels become positions, in the order of torch's PixelShuffle. */
  depthToSpace(x: Value): Value {
    return this.op("DepthToSpace", [x], { blocksize: int(2), mode: string("CRD") });
  }
}

function square({
  kernel,
  stride,
  pad,
  group,
  bias,
}: Required<Pick<LayerOptions, "kernel" | "stride" | "pad" | "group">> & { bias: boolean }): ConvOptions {
  return {
    kernel: [kernel, kernel],
    strides: [stride, stride],
    pads: [pad, pad, pad, pad],
    dilations: [1, 1],
    group,
    bias,
  };
}

/** Multiply–adds of a square convolution: positions × outputs × inputs of a group × taps. */
export function convMacs(inputs: number, outputs: number, kernel: number, size: number, groups = 1): number {
  return size * size * outputs * (inputs / groups) * kernel * kernel;
}
