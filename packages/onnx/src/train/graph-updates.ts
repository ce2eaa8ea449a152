import type { OrtSession, OrtTensor } from "../runtime/ort-module.ts";
import { elementCount } from "../io/element-types.ts";
import type { Engine } from "./engine.ts";
import { numberOf } from "./host-updates.ts";
import type { Optimizer } from "./optimizer.ts";
import { readTensors } from "./read-tensors.ts";
import type { Parameter } from "./parameter.ts";
import { trainingNames } from "./training-names.ts";
import { isSound, type OrtTensors, type StepNumbers, type StepResult, type Updates } from "./updates.ts";

/** Outputs that a graph with updates gives beside its numbers, each with the input that it is fed to. */
export function carriedOutputs(
  parameters: readonly Parameter[],
  optimizer: Optimizer,
): Map<string, Parameter & { readonly input: string }> {
  const carried = new Map<string, Parameter & { readonly input: string }>();
  for (const parameter of parameters) {
    const names = [
      parameter.name,
      ...Array.from({ length: optimizer.slots }, (_, i) => trainingNames.slot(parameter.name, i)),
    ];
    for (const input of names) carried.set(trainingNames.next(input), { ...parameter, input });
  }
  return carried;
}

/** Updates inside of the graph: its outputs are fed to the next run, without leaving the device where they are kept there. */
export class GraphUpdates implements Updates {
  readonly kind = "graph";
  readonly stateBytes: number;
  readonly #engine: Engine;
  readonly #session: OrtSession;
  readonly #optimizer: Optimizer;
  readonly #carried: ReadonlyMap<string, Parameter & { readonly input: string }>;
  readonly #state = new Map<string, OrtTensor>();
  /**
   * On the CPU of onnxruntime-node: the arrays of the step before, which the next one writes into. Fresh ones would have to be made and
   * thrown away at every step.
   */
  readonly #spare: Map<string, OrtTensor> | undefined;

  constructor(engine: Engine, session: OrtSession, parameters: readonly Parameter[], optimizer: Optimizer) {
    this.#engine = engine;
    this.#session = session;
    this.#optimizer = optimizer;
    this.#carried = carriedOutputs(parameters, optimizer);
    let elements = 0;
    for (const { name, input, shape, initial } of this.#carried.values()) {
      const array = input === name ? initial() : new Float32Array(elementCount(shape));
      this.#state.set(input, new engine.ort.Tensor("float32", array, shape));
      elements += array.length;
    }
    if (engine.provider === "cpu") {
      const { Tensor } = engine.ort;
      const spare = ([input, { dims }]: [string, OrtTensor]) =>
        [input, new Tensor("float32", new Float32Array(elementCount(dims)), dims)] as const;
      this.#spare = new Map([...this.#state].map(spare));
    }
    // The state before a step and after it are there together.
    this.stateBytes = 8 * elements;
  }

  async step(batch: OrtTensors, numbers: StepNumbers): Promise<StepResult> {
    const { Tensor } = this.#engine.ort;
    const scalar = (value: number): OrtTensor => new Tensor("float32", Float32Array.of(value), []);
    const feeds: OrtTensors = {
      ...batch,
      [trainingNames.lambda]: scalar(numbers.lambda),
      ...this.#taken(trainingNames.learningRate, scalar(numbers.learningRate)),
      ...this.#taken(trainingNames.gateRate, scalar(numbers.gateRate)),
    };
    this.#optimizer.scalars(numbers.step).forEach((value, i) => {
      Object.assign(feeds, this.#taken(trainingNames.scalar(i), scalar(value)));
    });
    for (const [name, tensor] of this.#state) Object.assign(feeds, this.#taken(name, tensor));
    const outputs = await this.#session.run(feeds, ...this.#fetches());
    const result = {
      loss: numberOf(outputs[trainingNames.loss]!),
      penalty: numberOf(outputs[trainingNames.penalty]!),
      gradientNorm: numberOf(outputs[trainingNames.norm]!),
    };
    for (const [output, { input }] of this.#carried) {
      const stale = isSound(result) ? this.#state.get(input)! : outputs[output]!;
      if (isSound(result)) this.#state.set(input, outputs[output]!);
      if (this.#spare) this.#spare.set(input, stale);
      else stale.dispose?.();
    }
    return result;
  }

  /** Where the outputs are to be written, if that is for us to say. */
  #fetches(): [Record<string, OrtTensor | null>?] {
    const spare = this.#spare;
    if (!spare) return [];
    return [
      Object.fromEntries(
        this.#session.outputNames.map((name) => {
          const carried = this.#carried.get(name);
          return [name, (carried && spare.get(carried.input)) ?? null];
        }),
      ),
    ];
  }

  read(): Promise<Map<string, Float32Array>> {
    return readTensors(this.#engine, this.#state);
  }

  write(arrays: ReadonlyMap<string, Float32Array>): void {
    for (const { input, shape } of this.#carried.values()) {
      const array = arrays.get(input);
      if (!array) continue;
      this.#state.get(input)?.dispose?.();
      this.#state.set(input, new this.#engine.ort.Tensor("float32", array.slice(), shape));
    }
  }

  async dispose(): Promise<void> {
    for (const tensor of this.#state.values()) tensor.dispose?.();
    this.#state.clear();
    await this.#session.release();
  }

  /** A rate that no parameter is updated with is no input of the graph. */
  #taken(name: string, tensor: OrtTensor): OrtTensors {
    return this.#session.inputNames.includes(name) ? { [name]: tensor } : {};
  }
}
