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

/** Student's t of 1 to 9 degrees of freedom that 95 % lie within; 2 of more is near. */
const student = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];

/** How many standard errors the mean of so many seeds has to be from 0 to count: 5 % of means of nothing are further away. */
export const significant = (seeds: number): number => student[seeds - 2] ?? 2;

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
