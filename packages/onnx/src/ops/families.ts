/** Operators of one input that work element by element; further inputs and attributes are plain scalars. */
export const unaryOps = [
  "Abs",
  "Acos",
  "Acosh",
  "Asin",
  "Asinh",
  "Atan",
  "Atanh",
  "Celu",
  "Ceil",
  "Clip",
  "Cos",
  "Cosh",
  "Elu",
  "Erf",
  "Exp",
  "Floor",
  "Gelu",
  "HardSigmoid",
  "HardSwish",
  "Identity",
  "LeakyRelu",
  "Log",
  "Mish",
  "Neg",
  "Not",
  "Reciprocal",
  "Relu",
  "Round",
  "Selu",
  "Shrink",
  "Sigmoid",
  "Sign",
  "Sin",
  "Sinh",
  "Softplus",
  "Softsign",
  "Sqrt",
  "Tan",
  "Tanh",
  "ThresholdedRelu",
] as const;

/** Operators that work element by element on broadcast inputs of one type. */
export const binaryOps = [
  "Add",
  "And",
  "Div",
  "Max",
  "Mean",
  "Min",
  "Mod",
  "Mul",
  "Or",
  "Pow",
  "Sub",
  "Sum",
  "Xor",
] as const;

/** Element-wise comparisons of broadcast inputs; the result is `bool`. */
export const comparisonOps = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] as const;

/** Reductions over the listed axes. */
export const reduceOps = [
  "ReduceL1",
  "ReduceL2",
  "ReduceLogSum",
  "ReduceLogSumExp",
  "ReduceMax",
  "ReduceMean",
  "ReduceMin",
  "ReduceProd",
  "ReduceSum",
  "ReduceSumSquare",
] as const;

/** Poolings over all positions: `[N, C, …] → [N, C, 1, …]`. */
export const globalPoolOps = ["GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"] as const;

export type UnaryOp = (typeof unaryOps)[number];
export type BinaryOp = (typeof binaryOps)[number];
