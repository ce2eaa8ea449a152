/** What one layer costs. */
export interface LayerCost {
  readonly layer: string;
  readonly parameters: number;
  /** Multiply–adds of one forward pass; 1 MAC = 2 FLOPs. */
  readonly macs: number;
}

/** What a model costs, layer by layer and in all. */
export interface ModelCost {
  readonly layers: readonly LayerCost[];
  readonly parameters: number;
  readonly macs: number;
}

/** Adds the layers up. */
export function modelCost(layers: readonly LayerCost[]): ModelCost {
  const total = (pick: (layer: LayerCost) => number): number =>
    layers.reduce((sum, layer) => sum + pick(layer), 0);
  return { layers, parameters: total((layer) => layer.parameters), macs: total((layer) => layer.macs) };
}
