import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { applyGates } from "./apply-gates.ts";
import { GatedWeights, type Primaries } from "./gated-weights.ts";
import { layerTable, optionOf } from "./layer-table.ts";
import { layerConfigOf, leafLayers } from "./model-config.ts";
import { checkLambda } from "./rules.ts";
import type { GatedSpec } from "./select-sites.ts";
import type { WeightName } from "./site.ts";

type LayerArgs = ConstructorParameters<typeof tf.layers.Layer>[0];
type Kwargs = Parameters<tf.layers.Layer["call"]>[1];

/** Arguments of a `Gated` layer: the layer inside, and its sites. */
export type GatedArgs = NonNullable<LayerArgs> & GatedSpec & { readonly layer: tf.layers.Layer };

/** What a gated layer needs of the layer inside; tfjs declares most of these properties protected. */
interface InnerProperties {
  readonly activation?: { apply(x: tf.Tensor): tf.Tensor } | null;
  readonly [property: string]: unknown;
}

/**
 * A layer whose weights are gated: it computes what the layer inside would compute with `w = ω · Πγ`, trains ω and the
 * gates, and adds its smooth penalty to the loss of the model. It keeps the name of the layer inside.
 */
export class Gated extends tf.layers.Layer {
  /** Name under which models are saved. */
  static readonly className: string = "Gated";
  /** The plain layer inside; its weights are the primary weights ω. */
  readonly inner: tf.layers.Layer;
  readonly spec: GatedSpec;
  #lambda: number;
  #weights: GatedWeights | undefined;

  constructor(args: GatedArgs) {
    const { layer, depth, lambda, weights, method, sites, calls, ...layerArgs } = args;
    super(layerArgs);
    this.inner = layer;
    this.spec = { depth, lambda, weights, method, sites, calls };
    this.#lambda = lambda;
    this.supportsMasking = layer.supportsMasking;
  }

  /** λ of all sites of this layer. */
  get lambda(): number {
    return this.#lambda;
  }

  set lambda(lambda: number) {
    checkLambda(`layer "${this.name}"`, lambda);
    this.#lambda = lambda;
  }

  /** The factors behind the weights; exist once the layer is built. */
  get gated(): GatedWeights {
    if (this.#weights) return this.#weights;
    throw new DgateError("SHAPE", `layer "${this.name}" has no weights yet: call it on an input first.`);
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    // A layer that is frozen hides its weights, which would be lost here: freeze it again when it has them all.
    const { trainable } = this;
    this.trainable = true;
    this.inner.trainable = true;
    this.inner.build(inputShape);
    this.inner.built = true;
    this.inputSpec = this.inner.inputSpec;
    const own = [...this.inner.trainableWeights];
    this.nonTrainableWeights = this.inner.nonTrainableWeights;
    this.#weights = new GatedWeights(this.spec, this.name, this.primaries(), (kind, shape) =>
      this.addWeight(`gates_${kind}`, shape, "float32", tf.initializers.ones(), undefined, true),
    );
    this.trainableWeights = [...own, ...this.trainableWeights];
    this.trainable = trainable;
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    return tf.tidy(() => {
      const [input] = Array.isArray(inputs) ? inputs : [inputs];
      const late = input && this.#activationGate(input);
      if (late) return this.#denseGatedLate(input, late);
      return this.#withWeights(this.gated.collapsed(), () => this.inner.call(inputs, kwargs));
    });
  }

  /** Smooth (or direct) penalty of this layer's sites, λ included. */
  penalty(): tf.Scalar {
    return this.gated.penalty(this.#lambda);
  }

  /**
   * The penalty, and the regularizers of the layer inside, which apply to the collapsed weights. tfjs asks for them once
   * per call of the layer: regularizers count as often as in the plain model, the penalty once in all.
   */
  override calculateLosses(): tf.Scalar[] {
    const { calls } = this.spec;
    const penalty = calls > 1 ? tf.div<tf.Scalar>(this.penalty(), calls) : this.penalty();
    return this.#hasRegularizer() ? [penalty, ...this.#regularizers(this.gated.collapsed())] : [penalty];
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape | tf.Shape[] {
    return this.inner.computeOutputShape(inputShape);
  }

  override computeMask(
    inputs: tf.Tensor | tf.Tensor[],
    mask?: tf.Tensor | tf.Tensor[],
  ): tf.Tensor | tf.Tensor[] {
    return this.inner.computeMask(inputs, mask);
  }

  override setFastWeightInitDuringBuild(value: boolean): void {
    super.setFastWeightInitDuringBuild(value);
    this.inner.setFastWeightInitDuringBuild(value);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { depth, weights, method, sites, calls } = this.spec;
    const layer = { className: this.inner.getClassName(), config: layerConfigOf(this.inner) };
    // Sites are plain JSON; ConfigDict just cannot express readonly arrays.
    const plain = JSON.parse(
      JSON.stringify({ depth, lambda: this.#lambda, weights, method, sites, calls }),
    ) as GatedSpec;
    return { ...super.getConfig(), layer, ...(plain as unknown as tf.serialization.ConfigDict) };
  }

  /** @nocollapse */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { layer, customObjects: _, ...rest } = config;
    return new cls({ ...rest, layer: deserializeLayer(layer) });
  }

  /** The primary weights, by name. */
  primaries(): Primaries {
    const found = new Map<WeightName, tf.LayerVariable>();
    for (const name of layerTable.get(this.inner.getClassName())?.weights ?? []) {
      const variable = this.#properties[name] as tf.LayerVariable | null | undefined;
      if (variable) found.set(name, variable);
    }
    return found;
  }

  get #properties(): InnerProperties {
    return this.inner as unknown as InnerProperties;
  }

  /**
   * The gates of Dense's neurons if it is cheaper to gate the activation than the kernel:
   * x·(ω·diag g) = (x·ω)·diag g, and the activation has `rows × units` elements, the kernel `inputs × units`.
   */
  #activationGate(input: tf.Tensor): tf.Tensor | undefined {
    const inputs = input.shape.at(-1) ?? 1;
    const cheaper = this.inner.getClassName() === "Dense" && input.size / inputs < inputs;
    return cheaper ? this.gated.product("neurons") : undefined;
  }

  #denseGatedLate(input: tf.Tensor, product: tf.Tensor): tf.Tensor {
    const weights = this.gated.collapsed({ kind: "neurons", product });
    const bias = weights.get("bias") ?? this.primaries().get("bias")?.read();
    weights.delete("bias");
    const kernel = weights.get("kernel") ?? this.primaries().get("kernel")!.read();
    // Not through Dense: its fused product always computes the gradient of the input too, which data does not need.
    const [inputs, units] = kernel.shape as [number, number];
    const rows = tf.matMul(tf.reshape(input, [-1, inputs]), kernel);
    const linear = tf.reshape(rows, [...input.shape.slice(0, -1), units]);
    const gated = applyGates(linear, { kind: "axis", axis: linear.rank - 1 }, product);
    const shifted = bias ? tf.add(gated, bias) : gated;
    return this.#properties.activation?.apply(shifted) ?? shifted;
  }

  /** Runs the layer inside while it reads these tensors instead of its variables. */
  #withWeights<T>(weights: ReadonlyMap<WeightName, tf.Tensor>, run: () => T): T {
    const inner = this.inner as unknown as Record<string, unknown>;
    const shims = [...weights].map(([name, tensor]) => [name, { read: () => tensor }] as const);
    const replaced = Object.fromEntries(shims);
    const originals = Object.fromEntries(Object.keys(replaced).map((key) => [key, inner[key]]));
    Object.assign(inner, replaced);
    try {
      return run();
    } finally {
      Object.assign(inner, originals);
    }
  }

  #hasRegularizer(): boolean {
    return [...this.primaries().keys()].some((name) => this.#properties[optionOf(name, "Regularizer")]);
  }

  #regularizers(collapsed: ReadonlyMap<WeightName, tf.Tensor>): tf.Scalar[] {
    return [...this.primaries()].flatMap(([name, variable]) => {
      const regularizer = this.#properties[optionOf(name, "Regularizer")] as
        | { apply(x: tf.Tensor): tf.Scalar }
        | null
        | undefined;
      return regularizer ? [regularizer.apply(collapsed.get(name) ?? variable.read())] : [];
    });
  }
}

/** The gated layers of a model, nested models included. */
export function gatedLayers(model: tf.LayersModel): Gated[] {
  return leafLayers(model).flatMap(({ layer }) => (layer instanceof Gated ? [layer] : []));
}

function deserializeLayer(config: unknown): tf.layers.Layer {
  const { className, config: options } = config as { className: string; config: tf.serialization.ConfigDict };
  const [cls, fromConfig] = tf.serialization.SerializationMap.getMap().classNameMap[className] ?? [];
  if (!cls || !fromConfig) {
    throw new DgateError(
      "UNSUPPORTED",
      `gated layer: class "${className}" is not registered: import what defines it before loading the model.`,
    );
  }
  return fromConfig(cls, options) as tf.layers.Layer;
}

/**
 * Makes saved gated models loadable by `tf.loadLayersModel`. `gate` has this done; call it in a program that only
 * loads, so that bundlers keep the class.
 */
export function registerGatedLayers(): void {
  tf.serialization.registerClass(Gated);
}

registerGatedLayers();
