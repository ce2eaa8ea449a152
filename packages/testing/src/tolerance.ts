/** How far a number may be from the expected one: `|got − expected| ≤ absolute + relative · |expected|`. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** The one table of tolerances, by the type that the numbers were computed in. */
export const tolerances: { readonly [dtype in "float64" | "float32" | "float16"]: Tolerance } = {
  float64: { absolute: 1e-12, relative: 1e-12 },
  float32: { absolute: 2e-6, relative: 1e-5 },
  float16: { absolute: 1e-3, relative: 5e-3 },
};
