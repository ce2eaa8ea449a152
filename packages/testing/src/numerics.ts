/** References that need no test runner: also for experiments. */
export { descend, type DescentOptions, sgdStep } from "./gated-descent.ts";
export {
  type GroupLassoProblem,
  type GroupLassoSolution,
  normalEquations,
  solveGroupLasso,
} from "./group-lasso.ts";
export { type RegressionOptions, type RegressionProblem, regressionProblem } from "./regression.ts";
