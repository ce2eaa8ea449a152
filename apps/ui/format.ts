/** A number in three significant digits, in a form that does not grow long. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/** Bytes as people read them. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${short(count / 1000)} kB`;
  return `${short(count / 1e6)} MB`;
}

/** A part as a percentage. */
export const percent = (part: number, digits = 1): string => `${(100 * part).toFixed(digits)} %`;

/** A whole number with its thousands apart. */
export const count = (value: number): string => value.toLocaleString("en").replaceAll(",", "\u202f");
