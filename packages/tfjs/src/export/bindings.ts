/**
 * How an initializer of the exported graph came from a weight of a layer: the weight's axes are permuted, then, where
 * ONNX merges or adds axes, reshaped. Both steps are invertible for every size of the open (−1) axis, which is what lets
 * a pruned initializer be read back into a smaller layer.
 */
export interface WeightBinding {
  readonly initializer: string;
  /** Path of the layer: its name, after the names of the models that hold it, joined by `/`. */
  readonly layer: string;
  /** The layer's property: `kernel`, `depthwiseKernel`, `bias`, `gamma`, `movingMean`, … */
  readonly weight: string;
  /** Shape of the weight in tfjs. */
  readonly shape: readonly number[];
  /** Axis `i` of the permuted weight is axis `permutation[i]` of the tfjs weight. */
  readonly permutation: readonly number[];
  /** Set where the initializer is also reshaped. */
  readonly reshape: WeightReshape | undefined;
  /** The layer has no such weight: the exporter made it (zeros), so that something can be folded into it. */
  readonly made: boolean;
}

/** Shapes on both sides of a reshape; −1 stands for the axis that shrinks. */
export interface WeightReshape {
  /** After the permutation, for example `[-1, multiplier, height, width]`. */
  readonly permuted: readonly number[];
  /** In ONNX, for example `[-1, 1, height, width]`. */
  readonly onnx: readonly number[];
}

/** An axis of an initializer that carries an axis of a weight: index `i` of the weight is block `i` of `blockSize`. */
export interface BoundAxis {
  readonly axis: number;
  readonly blockSize: number;
}

/** Where axis `axis` of the tfjs weight lies in its initializer, or `undefined` where it is not contiguous there. */
export function boundAxis(binding: WeightBinding, axis: number): BoundAxis | undefined {
  const place = binding.permutation.indexOf(axis);
  if (place < 0) return undefined;
  const { reshape } = binding;
  if (!reshape) return { axis: place, blockSize: 1 };
  // Only the leading axes are merged: the open axis is the outer one, the axes after it are its blocks.
  if (reshape.permuted[place] !== -1) return undefined;
  const merged = size(reshape.permuted) / size(reshape.onnx);
  return { axis: reshape.onnx.indexOf(-1), blockSize: merged };
}

/** `depthwise_kernel`, as tfjs names the variable, → `depthwiseKernel`, as it names the layer's property. */
export function propertyName(variable: string): string {
  return variable.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Product of the fixed sizes. */
function size(shape: readonly number[]): number {
  return shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
}
