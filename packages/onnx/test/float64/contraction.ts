import { expanded, mapped, zipped } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { einsum } from "./einsum.ts";
import { matmul } from "./matmul.ts";
import { transposed } from "./strided.ts";
import type { Float64Tensor } from "./tensor.ts";

/** Y = α · A′ · B′ + β · C. */
function gemm(call: Call): Float64Tensor {
  const turned = (index: number, name: string): Float64Tensor =>
    call.int(name, 0) === 0 ? call.input(index) : transposed(call.input(index), [1, 0]);
  const product = matmul(turned(0, "transA"), turned(1, "transB"));
  const alpha = call.float("alpha", 1);
  const beta = call.float("beta", 1);
  const scaled = alpha === 1 ? product : mapped(product, (x) => alpha * x);
  const bias = call.inputs[2];
  return bias ? zipped(scaled, expanded(bias, scaled.shape), (x, c) => x + beta * c) : scaled;
}

/** Operators that multiply and sum over common axes. */
export const contractionKernels: { readonly [op: string]: Kernel } = {
  Einsum: (call) =>
    einsum(
      call.string("equation", ""),
      call.inputs.map((_, i) => call.input(i)),
    ),
  Gemm: gemm,
  MatMul: (call) => matmul(call.input(0), call.input(1)),
};
