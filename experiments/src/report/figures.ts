/** Arithmetic mean; NaN of nothing. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard deviation over seeds, estimated from them; 0 of one. */
const spread = (values: readonly number[]): number =>
  Math.sqrt(
    values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / Math.max(1, values.length - 1),
  );

/** Standard error of the mean of values of different seeds. */
export const standardError = (values: readonly number[]): number => spread(values) / Math.sqrt(values.length);

/** `0.971 ± 0.004`: mean and standard deviation; of one value without the second. */
export const plusMinus = (values: readonly number[], digits: number): string =>
  values.length === 1
    ? mean(values).toFixed(digits)
    : `${mean(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`;

/** `+0.12 ± 0.05`: mean with its sign, and standard error. */
export const signedMean = (values: readonly number[], digits: number): string => {
  const centre = mean(values);
  return `${centre < 0 ? "−" : "+"}${Math.abs(centre).toFixed(digits)} ± ${standardError(values).toFixed(digits)}`;
};
