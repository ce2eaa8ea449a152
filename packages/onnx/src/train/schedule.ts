import { DgateError } from "@dgate/core";

/** A number, or one for each moment: takes the progress of training in [0, 1]. λ schedules of `@dgate/core` fit. */
export type Schedule = number | ((progress: number) => number);

/**
 * The value of a schedule.
 * @throws DgateError `OPTION` for a value that is negative or no number
 */
export function scheduled(name: string, schedule: Schedule, progress: number): number {
  const value: unknown = typeof schedule === "function" ? schedule(Math.min(1, progress)) : schedule;
  if (typeof value === "number" && value >= 0 && value < Infinity) return value;
  throw new DgateError(
    "OPTION",
    `train: ${name} is ${String(value)} at progress ${progress}, expected a number of at least 0.`,
  );
}

/** Up to `rate` in a straight line over the first `warmup` of training (default 0.1), then half a cosine down to `end` (default 0). */
export function warmupCosine(
  rate: number,
  {
    warmup = 0.1,
    hold = 0,
    end = 0,
  }: { readonly warmup?: number; readonly hold?: number; readonly end?: number } = {},
): (progress: number) => number {
  const flat = warmup + hold;
  if (!(warmup >= 0 && hold >= 0 && flat <= 1)) {
    throw new DgateError(
      "OPTION",
      `warmupCosine: warmup ${warmup} and hold ${hold} must be parts of training, from 0 to 1 in all.`,
    );
  }
  return (progress) => {
    if (progress < warmup) return (rate * progress) / warmup;
    if (progress <= flat || flat === 1) return rate;
    return end + ((rate - end) * (1 + Math.cos((Math.PI * (progress - flat)) / (1 - flat)))) / 2;
  };
}
