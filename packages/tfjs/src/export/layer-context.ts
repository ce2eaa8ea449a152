import { DgateError } from "@dgate/core";
import type { Attribute, Value } from "@dgate/onnx";
import type * as tf from "@tensorflow/tfjs";
import { layerConfigOf } from "../gating/model-config.ts";
import type { Emitter, WeightOptions } from "./emitter.ts";
import { describeLayer, LayerConfig } from "./layer-config.ts";
import type { Layout, Traced, TracedType } from "./traced.ts";

/** Emits the nodes of one layer class and returns its output. */
export type LayerRule = (ctx: LayerContext) => Traced;

/** What a run of the export wants of every layer. */
export interface ExportSettings {
  /** Give every layer that could have a bias one (zeros), so that constants of removed neurons find a place. */
  readonly makeBiases: boolean;
}

/** One call of a layer: its inputs, its config, and the means to emit nodes in its name. */
export class LayerContext {
  readonly layer: tf.layers.Layer;
  readonly config: LayerConfig;
  readonly inputs: readonly Traced[];
  /** As tfjs computes it for this call. */
  readonly outputShape: readonly (number | null)[];
  readonly settings: ExportSettings;
  readonly emitter: Emitter;
  readonly #name: string;
  #emitted = 0;

  /** @param name stem of the node names: the layer's path, with the number of the call where a layer is shared */
  constructor(
    emitter: Emitter,
    settings: ExportSettings,
    call: {
      readonly layer: tf.layers.Layer;
      readonly name: string;
      readonly inputs: readonly Traced[];
      readonly outputShape: readonly (number | null)[];
    },
  ) {
    this.emitter = emitter;
    this.settings = settings;
    this.layer = call.layer;
    this.inputs = call.inputs;
    this.outputShape = call.outputShape;
    this.#name = call.name;
    this.config = new LayerConfig(layerConfigOf(call.layer), `toOnnx: ${describeLayer(call.layer)}`);
  }

  /** The only input. */
  get input(): Traced {
    const [input] = this.inputs;
    if (!input || this.inputs.length > 1)
      return this.unsupported(`it is called with ${this.inputs.length} inputs`);
    return input;
  }

  get rank(): number {
    return this.input.shape.length;
  }

  value(layout: Layout, x: Traced = this.input): Value {
    return this.emitter.valueIn(layout, x);
  }

  /** The layout in which `x` is at hand; the ONNX order where both are, for what follows most often wants that. */
  layoutOf(x: Traced = this.input): Layout {
    return x.values.onnx ? "onnx" : "tfjs";
  }

  /** Adds a node. The first one of a layer bears the layer's name, the others add their operator to it. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const name = this.#emitted++ === 0 ? this.#name : `${this.#name}/${op.toLowerCase()}`;
    return this.emitter.node(name, op, inputs, attributes);
  }

  /** A scalar float constant. */
  scalar(value: number): Value {
    return this.emitter.constant("float32", [value], []);
  }

  /** A weight that the layer must have. */
  weight(name: string, options: WeightOptions = {}): Value {
    return this.emitter.weight(this.layer, name, options) ?? this.unsupported(`it has no weight "${name}"`);
  }

  /** A weight that the layer may lack. */
  optionalWeight(name: string, options: WeightOptions = {}): Value | undefined {
    return this.emitter.weight(this.layer, name, options);
  }

  /** The bias; zeros where the layer has none and the run wants one everywhere. */
  bias(size: number): Value | undefined {
    const own = this.optionalWeight("bias");
    return (
      own ?? (this.settings.makeBiases ? this.emitter.madeWeight(this.layer, "bias", [size], 0) : undefined)
    );
  }

  result(
    layout: Layout,
    value: Value,
    { shape = this.outputShape, dtype = "float32" }: { shape?: Traced["shape"]; dtype?: TracedType } = {},
  ): Traced {
    return { shape, dtype, values: { [layout]: value } };
  }

  /** @throws DgateError `UNSUPPORTED` naming the layer and its class. */
  unsupported(reason: string): never {
    throw new DgateError(
      "UNSUPPORTED",
      `toOnnx: ${describeLayer(this.layer)} cannot be exported: ${reason}.`,
    );
  }
}

/** Size of the channels, the last axis in tfjs. */
export function lastSize(ctx: LayerContext, shape: Traced["shape"] = ctx.input.shape): number {
  return shape.at(-1) ?? ctx.unsupported("the size of its last axis is open");
}
