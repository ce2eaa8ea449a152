/** Operators of one input that work element by element; further inputs and attributes are plain scalars. */
export declare const unaryOps: readonly ["Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Ceil", "Clip", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu"];
/** Operators that work element by element on broadcast inputs of one type. */
export declare const binaryOps: readonly ["Add", "And", "Div", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Xor"];
/** Element-wise comparisons of broadcast inputs; the result is `bool`. */
export declare const comparisonOps: readonly ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];
/** Reductions over the listed axes. */
export declare const reduceOps: readonly ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"];
/** Poolings over all positions: `[N, C, …] → [N, C, 1, …]`. */
export declare const globalPoolOps: readonly ["GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"];
export type UnaryOp = (typeof unaryOps)[number];
export type BinaryOp = (typeof binaryOps)[number];
