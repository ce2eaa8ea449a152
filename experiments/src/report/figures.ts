export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard deviation over seeds. */
const spread = (values: readonly number[]): number =>
  Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));

/** `0.971 ± 0.004`: mean and standard deviation. */
export const plusMinus = (values: readonly number[], digits: number): string =>
  `${mean(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`;
