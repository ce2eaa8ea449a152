import { DgateError } from "@dgate/core";
import { type Dim, type Graph, int, type Value } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";
import type { WeightBinding } from "./bindings.ts";
import { Emitter } from "./emitter.ts";
import { describeLayer } from "./layer-config.ts";
import { type ExportSettings, LayerContext } from "./layer-context.ts";
import { isModel, layerPaths } from "./layer-paths.ts";
import { integerLayers, layerRules, refusals } from "./layer-table.ts";
import { nameOutput } from "./name-output.ts";
import { type LayerWeights, readWeights } from "./read-weights.ts";
import type { Layout, Traced, TracedType } from "./traced.ts";

/** The features of an input that a smaller model still takes: `kept` of `size` along `axis` (as tfjs counts axes). */
export interface InputSelection {
  /** Name of the model input. */
  readonly name: string;
  readonly axis: number;
  /** Features of the full input. */
  readonly size: number;
  /** Indices of the features that the model takes, ascending. */
  readonly kept: readonly number[];
}

export interface GraphOptions {
  /** Name of the graph; the model's name if left out. */
  readonly name?: string;
  /** Let the graph take full rows and pick the model's features from them by a leading Gather. */
  readonly select?: readonly InputSelection[];
}

/** A model as a graph, and where each weight went. */
export interface ExportedGraph {
  readonly graph: Graph;
  readonly bindings: readonly WeightBinding[];
  /** Inputs of the model, and of the models nested in it as `outer/input`: the value that each holds. */
  readonly inputs: ReadonlyMap<string, InputPlace>;
}

/** A graph value that stands for a model input; its axes may be in ONNX's order. */
export interface InputPlace {
  readonly value: Value;
  readonly layout: Layout;
}

/** Values of symbolic tensors within one call of a (nested) model. */
type Scope = Map<number, Traced>;

/**
 * Writes a plain LayersModel (Sequential or functional, several inputs and outputs, shared layers, nested models) as an
 * ONNX graph of opset 17. The batch is the symbolic dimension `batch`; inputs and outputs keep tfjs's names and order of
 * axes.
 *
 * @throws DgateError `UNSUPPORTED` naming the layer and its class, `DATA` for weights that are not finite.
 */
export async function modelToGraph(
  model: tf.LayersModel,
  { name = model.name, select = [] }: GraphOptions,
  settings: ExportSettings,
): Promise<ExportedGraph> {
  if (model instanceof tf.Sequential && !model.built) model.build();
  return new Walk(model, name, await readWeights(model), settings).run(select);
}

/** Follows the symbolic tensors of a model from its outputs to its inputs, emitting each layer call once. */
class Walk {
  readonly #model: tf.LayersModel;
  readonly #emitter: Emitter;
  readonly #settings: ExportSettings;
  readonly #calls = new Map<tf.layers.Layer, number>();
  readonly #inputs = new Map<string, InputPlace>();

  constructor(model: tf.LayersModel, name: string, weights: LayerWeights, settings: ExportSettings) {
    this.#model = model;
    this.#settings = settings;
    this.#emitter = new Emitter(name, weights, layerPaths(model));
  }

  run(select: readonly InputSelection[]): ExportedGraph {
    const { graph, bindings } = this.#emitter;
    const scope: Scope = new Map();
    for (const { name } of select) {
      if (!this.#model.inputNames.includes(name)) {
        throw new DgateError(
          "NO_MATCH",
          `toOnnx: select names input "${name}", but the inputs are ${this.#model.inputNames.join(", ")}.`,
        );
      }
    }
    this.#model.inputs.forEach((symbol, i) => {
      const name = this.#model.inputNames[i]!;
      const selection = select.find((candidate) => candidate.name === name);
      const input = this.#input(name, symbol, selection);
      this.#place(name, input);
      scope.set(symbol.id, input);
    });
    const traced = this.#model.outputs.map((symbol) => this.#trace(symbol, scope));
    const values = traced.map((output) => this.#emitter.valueIn("tfjs", output));
    traced.forEach((output, i) => {
      const value = values[i]!;
      const shape = output.shape.map((size, axis): Dim => size ?? (axis === 0 ? "batch" : undefined));
      const name = this.#model.outputNames[i]!;
      graph.addOutput(nameOutput(graph, value, name, { dtype: output.dtype, shape }));
    });
    graph.sortNodes();
    return { graph, bindings, inputs: this.#inputs };
  }

  #input(name: string, symbol: tf.SymbolicTensor, selection: InputSelection | undefined): Traced {
    const dtype = tracedType(symbol.dtype, `toOnnx: input "${name}"`);
    const sizes = symbol.shape.map((size, axis) => size ?? (axis === 0 ? "batch" : `${name}_${axis}`));
    if (!selection) {
      const value = this.#emitter.graph.addInput(name, { dtype, shape: sizes });
      return { shape: symbol.shape, dtype, values: { tfjs: value } };
    }
    const { axis, size, kept } = selection;
    if (symbol.shape[axis] !== kept.length || kept.some((index) => index < 0 || index >= size)) {
      throw new DgateError(
        "SHAPE",
        `toOnnx: select keeps ${kept.length} of ${size} features of input "${name}" along axis ${axis}, but the model ` +
          `takes [${symbol.shape.join(", ")}]. Was the selection made for another model?`,
      );
    }
    sizes[axis] = size;
    const full = this.#emitter.graph.addInput(name, { dtype, shape: sizes });
    const indices = this.#emitter.constant("int64", kept, [kept.length]);
    const value = this.#emitter.node(`${name}/select`, "Gather", [full, indices], { axis: int(axis) });
    return { shape: symbol.shape, dtype, values: { tfjs: value } };
  }

  #trace(symbol: tf.SymbolicTensor, scope: Scope): Traced {
    const known = scope.get(symbol.id);
    if (known) return known;
    const layer = symbol.sourceLayer;
    const call = layer.inboundNodes[symbol.nodeIndex];
    if (!call) throw new Error(`unreachable: ${describeLayer(layer)} has no call ${symbol.nodeIndex}`);
    const inputs = call.inputTensors.map((input) => this.#trace(input, scope));
    const outputs = isModel(layer)
      ? this.#nested(layer, inputs)
      : [this.#layer(layer, inputs, call.outputTensors[0]!.shape)];
    call.outputTensors.forEach((output, i) => scope.set(output.id, outputs[i]!));
    return outputs[symbol.tensorIndex]!;
  }

  #place(path: string, { values }: Traced): void {
    const layout = values.tfjs ? "tfjs" : "onnx";
    this.#inputs.set(path, { value: values[layout]!, layout });
  }

  /** A model called as a layer: its own inputs stand for the given ones. */
  #nested(model: tf.LayersModel, inputs: readonly Traced[]): Traced[] {
    const scope: Scope = new Map();
    model.inputs.forEach((symbol, i) => {
      scope.set(symbol.id, inputs[i]!);
      this.#place(`${this.#emitter.path(model)}/${model.inputNames[i]}`, inputs[i]!);
    });
    return model.outputs.map((symbol) => this.#trace(symbol, scope));
  }

  #layer(layer: tf.layers.Layer, inputs: readonly Traced[], outputShape: readonly (number | null)[]): Traced {
    const className = layer.getClassName();
    const rule = layerRules[className];
    if (!rule) {
      const reason =
        refusals[className] ?? `there is no rule for class ${className}; build it from plain layers`;
      throw new DgateError("UNSUPPORTED", `toOnnx: ${describeLayer(layer)} cannot be exported: ${reason}.`);
    }
    const number = (this.#calls.get(layer) ?? 0) + 1;
    this.#calls.set(layer, number);
    const path = this.#emitter.path(layer);
    const floats = integerLayers.has(className) ? inputs : inputs.map((input) => this.#toFloat(input));
    const name = number === 1 ? path : `${path}/call${number}`;
    return rule(
      new LayerContext(this.#emitter, this.#settings, { layer, name, inputs: floats, outputShape }),
    );
  }

  /** tfjs lets integers take part in float arithmetic; ONNX does not. */
  #toFloat(x: Traced): Traced {
    if (x.dtype === "float32") return x;
    const source = this.#emitter.valueIn("tfjs", x);
    const cast: Value = this.#emitter.node(`${source.name}/float`, "Cast", [source], { to: int(1) });
    return { shape: x.shape, dtype: "float32", values: { tfjs: cast } };
  }
}

function tracedType(dtype: tf.DataType, where: string): TracedType {
  if (dtype === "float32" || dtype === "int32" || dtype === "bool") return dtype;
  throw new DgateError(
    "UNSUPPORTED",
    `${where} has dtype ${dtype}; models of float32, int32 or bool can be exported.`,
  );
}
