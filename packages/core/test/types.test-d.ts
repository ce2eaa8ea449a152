import {
  arrayOps,
  balance,
  collapse,
  type Factors,
  type GroupLayout,
  type GroupSet,
  initialFactors,
  type NdArray,
  parsePlan,
  type PrunePlan,
  smoothPenalty,
  type TensorOps,
} from "@dgate/core";
import { expectTypeOf, test } from "vitest";

interface Tensor {
  readonly id: number;
}
declare const tensorOps: TensorOps<Tensor>;
declare const set: GroupSet;
declare const factors: Factors<Tensor>;

test("the algebra keeps the tensor type of its binding", () => {
  expectTypeOf(collapse(tensorOps, set, factors)).toEqualTypeOf<Tensor[]>();
  expectTypeOf(balance(tensorOps, set, factors)).toEqualTypeOf<Factors<Tensor>>();
  expectTypeOf(smoothPenalty(tensorOps, set, factors, 0.1)).toEqualTypeOf<Tensor>();
  expectTypeOf(arrayOps("float32")).toEqualTypeOf<TensorOps<NdArray>>();
});

test("λ is a number or a tensor of the binding, nothing else", () => {
  expectTypeOf<Parameters<typeof smoothPenalty<Tensor>>[3]>().toEqualTypeOf<number | Tensor>();
});

test("initial factors are arrays of the type given", () => {
  expectTypeOf(initialFactors(set, [new Float32Array(1)], { depth: 2 })).toExtend<Factors<Float32Array>>();
  expectTypeOf(initialFactors(set, [new Float64Array(1)], { depth: 2 })).toExtend<Factors<Float64Array>>();
});

test("a layout is told by its kind", () => {
  expectTypeOf<Extract<GroupLayout, { kind: "blocks" }>["blockSize"]>().toEqualTypeOf<number>();
  expectTypeOf<Extract<GroupLayout, { kind: "tensor" }>>().not.toHaveProperty("axis");
});

test("a parsed plan is a plan, whatever came in", () => {
  expectTypeOf(parsePlan).parameter(0).toBeUnknown();
  expectTypeOf(parsePlan).returns.toEqualTypeOf<PrunePlan>();
});
