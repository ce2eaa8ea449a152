import * as tf from "@tensorflow/tfjs";
import type { Stock } from "./mat-mul.ts";
import type { KernelArguments } from "./wasm-backend.ts";

type Shape4D = [number, number, number, number];

interface ConvAttributes {
  readonly strides: [number, number] | number;
  /** Null where the caller left it out. */
  readonly dilations: [number, number] | number | null;
  readonly pad: unknown;
}

interface ConvInputs {
  readonly x: tf.TensorInfo;
  readonly filter: tf.TensorInfo;
}

/**
 * A convolution kernel of tfjs with its padding "same" spelled out in numbers. Left to itself, the kernel gives all
 * zeros where the stride steps over pixels, that is where (out − 1)·stride + filter < in along one axis and padding
 * is needed along the other.
 */
export function explicitPadding(
  depthwise: boolean,
): (stock: Stock, args: KernelArguments<ConvInputs, ConvAttributes>) => tf.TensorInfo {
  return (stock, { inputs, backend, attrs }) => {
    const all = { ...inputs };
    // The other attributes (activation, data format, …) are passed on as they are.
    const rest = attrs as unknown as tf.NamedAttrMap;
    if (attrs.pad !== "same") return stock(backend, all, rest);
    // tfjs has checked both to be of rank 4.
    const { padInfo } = tf.backend_util.computeConv2DInfo(
      inputs.x.shape as Shape4D,
      inputs.filter.shape as Shape4D,
      attrs.strides,
      attrs.dilations ?? 1,
      "same",
      undefined,
      depthwise,
    );
    const rows = [padInfo.top, padInfo.bottom];
    const cols = [padInfo.left, padInfo.right];
    return stock(backend, all, { ...rest, pad: [[0, 0], rows, cols, [0, 0]] });
  };
}
