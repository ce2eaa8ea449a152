import { type GroupSet, ndArray, type ProximalDepth, proximalStep } from "@dgate/core";
import type { Optimizer } from "./optimizer.ts";
import type { PenalisedSet } from "./training-graph.ts";

/** The proximal operator of the sparse penalty, after the optimiser's own step: groups become exactly zero. */
export class ProximalUpdate {
  readonly #sets: readonly PenalisedSet[];
  readonly #depth: ProximalDepth;
  readonly #stride: number;

  constructor(sets: readonly PenalisedSet[], depth: ProximalDepth, optimizer: Optimizer) {
    this.#sets = sets;
    this.#depth = depth;
    this.#stride = strideOf(optimizer);
  }

  /**
   * @param arrays of the parameters by name, changed in place
   * @param t learning rate times λ
   */
  apply(arrays: ReadonlyMap<string, Float32Array>, t: number): void {
    for (const { set, tensors } of this.#sets) {
      const weights = tensors.map((name, m) => ndArray(arrays.get(name)!, shapeOf(set, m)));
      const next = proximalStep(set, weights, t * this.#stride, this.#depth);
      weights.forEach(({ data }, m) => data.set(next[m]!.data));
    }
  }
}

const shapeOf = ({ members }: GroupSet, m: number): readonly number[] => members[m]!.shape;

/** How far a constant gradient moves a weight per unit of learning rate: momentum carries it on, and λ is to mean the same with and without. */
function strideOf({ name, config }: Optimizer): number {
  const { momentum } = config;
  return name === "sgd" && typeof momentum === "number" ? 1 / (1 - momentum) : 1;
}
