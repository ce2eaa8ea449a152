import type { OrtModule, OrtSession, OrtTensor } from "../runtime/ort-module.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Parameter } from "./parameter.ts";
import type { ProximalUpdate } from "./proximal-update.ts";
import { trainingNames } from "./training-names.ts";
import { isSound, type OrtTensors, type StepNumbers, type StepResult, type Updates } from "./updates.ts";

/** A parameter with its memory, as arrays that are updated in place. */
interface Held {
  readonly parameter: Parameter;
  readonly array: Float32Array;
  readonly slots: readonly Float32Array[];
  readonly tensor: OrtTensor;
}

/** What is done beside the optimiser's step. */
interface HostOptions {
  /** Largest norm of the whole gradient. */
  readonly clipNorm?: number | undefined;
  readonly proximal?: ProximalUpdate | undefined;
}

/** Updates as loops over typed arrays: the graph gives gradients. */
export class HostUpdates implements Updates {
  readonly kind = "host";
  readonly stateBytes: number;
  readonly #ort: OrtModule;
  readonly #session: OrtSession;
  readonly #optimizer: Optimizer;
  readonly #clipNorm: number;
  readonly #proximal: ProximalUpdate | undefined;
  readonly #held: readonly Held[];

  constructor(
    ort: OrtModule,
    session: OrtSession,
    parameters: readonly Parameter[],
    optimizer: Optimizer,
    { clipNorm = Infinity, proximal }: HostOptions = {},
  ) {
    this.#ort = ort;
    this.#session = session;
    this.#optimizer = optimizer;
    this.#clipNorm = clipNorm;
    this.#proximal = proximal;
    this.#held = parameters.map((parameter) => {
      const array = parameter.initial();
      const slots = Array.from({ length: optimizer.slots }, () => new Float32Array(array.length));
      return { parameter, array, slots, tensor: new ort.Tensor("float32", array, parameter.shape) };
    });
    const elements = this.#held.reduce((sum, { array }) => sum + array.length, 0);
    this.stateBytes = 4 * elements * (2 + optimizer.slots);
  }

  async step(batch: OrtTensors, { lambda, learningRate, gateRate, step }: StepNumbers): Promise<StepResult> {
    const feeds: OrtTensors = {
      ...batch,
      [trainingNames.lambda]: new this.#ort.Tensor("float32", Float32Array.of(lambda), []),
    };
    for (const { parameter, tensor } of this.#held) feeds[parameter.name] = tensor;
    const outputs = await this.#session.run(feeds);
    const gradients = this.#held.map(
      ({ parameter }) => outputs[trainingNames.gradient(parameter.name)]!.data as Float32Array, // declared so
    );
    const result = {
      loss: numberOf(outputs[trainingNames.loss]!),
      penalty: numberOf(outputs[trainingNames.penalty]!),
      gradientNorm: Math.sqrt(gradients.reduce((sum, gradient) => sum + squaredNorm(gradient), 0)),
    };
    if (!isSound(result)) return result;
    const factor = Math.min(1, this.#clipNorm / Math.max(result.gradientNorm, 1e-30));
    const scalars = this.#optimizer.scalars(step);
    this.#held.forEach(({ parameter, array, slots }, i) => {
      this.#optimizer.update({
        parameter: array,
        gradient: gradients[i]!,
        slots,
        learningRate: parameter.kind === "gate" ? gateRate : learningRate,
        scalars,
        decays: parameter.kind === "other",
        factor,
      });
    });
    this.#proximal?.apply(
      new Map(this.#held.map(({ parameter, array }) => [parameter.name, array])),
      learningRate * lambda,
    );
    return result;
  }

  async read(): Promise<Map<string, Float32Array>> {
    const arrays = new Map<string, Float32Array>();
    for (const { parameter, array, slots } of this.#held) {
      arrays.set(parameter.name, array.slice());
      slots.forEach((slot, i) => arrays.set(trainingNames.slot(parameter.name, i), slot.slice()));
    }
    return arrays;
  }

  write(arrays: ReadonlyMap<string, Float32Array>): void {
    for (const { parameter, array, slots } of this.#held) {
      array.set(arrays.get(parameter.name) ?? array);
      slots.forEach((slot, i) => slot.set(arrays.get(trainingNames.slot(parameter.name, i)) ?? slot));
    }
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }
}

/** The number of a scalar output. */
export const numberOf = ({ data }: OrtTensor): number => (data as Float32Array)[0]!; // a float32 scalar

/** Four sums at a time: one would wait for each addition. */
function squaredNorm(x: Float32Array): number {
  const { length } = x;
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a += x[i]! * x[i]!;
    b += x[i + 1]! * x[i + 1]!;
    c += x[i + 2]! * x[i + 2]!;
    d += x[i + 3]! * x[i + 3]!;
  }
  for (; i < length; i++) a += x[i]! * x[i]!;
  return a + b + c + d;
}
