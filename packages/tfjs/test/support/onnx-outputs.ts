import { randomGenerator, type RandomGenerator } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import * as ortNode from "onnxruntime-node";
import * as ortWeb from "onnxruntime-web";
import { toOnnx } from "../../src/export/to-onnx.ts";

ortWeb.env.wasm.numThreads = 1;
ortWeb.env.logLevel = "error";

export type Runtime = "node" | "web";

/** Float tensors by name, the largest difference between models that is accepted: relative to the outputs' scale. */
export const tolerance = 1e-5;

/** Random weights of a sensible size: small kernels, variances around one. */
export function randomizeWeights(model: tf.LayersModel, seed: number): tf.LayersModel {
  const random = randomGenerator(seed);
  for (const layer of model.layers) {
    if (layer instanceof tf.LayersModel) randomizeWeights(layer, random.integer(2 ** 31));
    else
      layer.setWeights(
        layer.weights.map((weight) => randomWeight(weight.originalName, weight.shape, random)),
      );
  }
  return model;
}

function randomWeight(name: string, shape: readonly (number | null)[], random: RandomGenerator): tf.Tensor {
  const sizes = shape.map(Number);
  const fan = Math.max(
    1,
    sizes.slice(0, -1).reduce((a, b) => a * b, 1),
  );
  const draw = name.includes("moving_variance")
    ? (): number => 0.5 + random.next()
    : (): number => random.normal() / Math.sqrt(fan);
  return tf.tensor(Float32Array.from({ length: sizes.reduce((a, b) => a * b, 1) }, draw), sizes);
}

export interface InputOptions {
  readonly batch?: number;
  readonly seed?: number;
  /** Draw indices below `maxInteger` for float inputs too: an Embedding takes them as such. */
  readonly integers?: boolean;
  readonly maxInteger?: number;
  /** Size of axes that the model leaves open. */
  readonly open?: number;
}

/** One random batch for each input of the model. */
export function randomInputs(
  model: tf.LayersModel,
  { batch = 3, seed = 1, integers = false, maxInteger = 9, open = 7 }: InputOptions = {},
): tf.Tensor[] {
  const random = randomGenerator(seed);
  return model.inputs.map((input) => {
    const shape = input.shape.map((size, axis) => size ?? (axis === 0 ? batch : open));
    const whole = integers || input.dtype === "int32";
    const draw = (): number => (whole ? random.integer(maxInteger) : random.normal());
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw);
    return tf.tensor(values, shape, input.dtype);
  });
}

/** Outputs of the model in tfjs. */
export function tfjsOutputs(model: tf.LayersModel, inputs: readonly tf.Tensor[]): Float32Array[] {
  const outputs = model.predict([...inputs]);
  return (Array.isArray(outputs) ? outputs : [outputs]).map((tensor) => Float32Array.from(tensor.dataSync()));
}

/** Outputs of an ONNX file in onnxruntime, one thread. */
export async function onnxOutputs(
  bytes: Uint8Array,
  inputs: readonly tf.Tensor[],
  runtime: Runtime,
): Promise<{ data: Float32Array; dims: readonly number[]; name: string }[]> {
  const ort: typeof ortWeb = runtime === "web" ? ortWeb : ortNode;
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const feeds = Object.fromEntries(
    session.inputNames.map((name, i) => {
      const { dtype, shape } = inputs[i]!;
      const data = inputs[i]!.dataSync();
      return [
        name,
        dtype === "int32"
          ? new ort.Tensor("int32", Int32Array.from(data), shape)
          : new ort.Tensor("float32", Float32Array.from(data), shape),
      ];
    }),
  );
  const outputs = await session.run(feeds);
  const results = session.outputNames.map((name) => {
    const { data, dims } = outputs[name]!;
    return { name, dims, data: Float32Array.from(data as Float32Array) };
  });
  await session.release();
  return results;
}

/** Largest difference of the outputs, relative to the largest output (at least one). */
export function relativeDifference(
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
): number {
  if (expected.length !== actual.length) return Infinity;
  let difference = 0;
  let scale = 1;
  expected.forEach((values, i) => {
    const others = actual[i]!;
    if (values.length !== others.length) difference = Infinity;
    values.forEach((value, j) => {
      scale = Math.max(scale, Math.abs(value));
      // NaN must not pass: `!(a <= b)` catches it.
      const delta = Math.abs(value - others[j]!);
      if (!(delta <= difference)) difference = Number.isNaN(delta) ? Infinity : delta;
    });
  });
  return difference / scale;
}

/** Exports a model with random weights and compares it with tfjs on random inputs. */
export async function exportDifference(
  model: tf.LayersModel,
  {
    seed = 1,
    runtimes = ["node", "web"],
    randomize = true,
    ...inputOptions
  }: InputOptions & { seed?: number; runtimes?: readonly Runtime[]; randomize?: boolean } = {},
): Promise<number> {
  if (randomize) randomizeWeights(model, seed);
  const inputs = randomInputs(model, { seed: seed + 1, ...inputOptions });
  const expected = tfjsOutputs(model, inputs);
  const bytes = await toOnnx(model);
  let worst = 0;
  for (const runtime of runtimes) {
    const actual = await onnxOutputs(bytes, inputs, runtime);
    worst = Math.max(
      worst,
      relativeDifference(
        expected,
        actual.map(({ data }) => data),
      ),
    );
  }
  return worst;
}
