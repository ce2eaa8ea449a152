import { InvalidArgumentError } from "commander";

/** Parsers of option values: what they refuse becomes one line that names the option. */

export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} up` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`Give a whole number ${range}.`);
  };
}

export function realNumber({ above, least, most, below }: NumberRange): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const fits =
      Number.isFinite(value) &&
      text.trim() !== "" &&
      (least === undefined || value >= least) &&
      (above === undefined || value > above) &&
      (most === undefined || value <= most) &&
      (below === undefined || value < below);
    if (fits) return value;
    const parts = [
      above !== undefined && `above ${above}`,
      least !== undefined && `of at least ${least}`,
      most !== undefined && `of at most ${most}`,
      below !== undefined && `below ${below}`,
    ].filter((part) => part !== false);
    throw new InvalidArgumentError(`Give a finite number ${parts.join(" and ")}.`);
  };
}

interface NumberRange {
  readonly above?: number;
  readonly least?: number;
  readonly most?: number;
  readonly below?: number;
}

export function listOf<T extends string>(known: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(",").map((part) => {
      const value = known.find((candidate) => candidate === part.trim());
      if (value !== undefined) return value;
      throw new InvalidArgumentError(`"${part}" is none of ${known.join(", ")}.`);
    });
}

/** Gathers `--dim batch=1 --dim sequence=128` into sizes by name. */
export function namedSize(
  text: string,
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const at = text.lastIndexOf("=");
  const [name, size] = [text.slice(0, Math.max(0, at)).trim(), text.slice(at + 1)];
  if (name === "") throw new InvalidArgumentError("Give a dimension and its size, as in batch=1.");
  return { ...before, [name]: wholeNumber(1, 1_000_000_000)(size) };
}

/** `8`, or `filters=16,neurons=4`: one number for all, or numbers by name. */
export function numberOrNamed(text: string): number | Readonly<Record<string, number>> {
  if (!text.includes("=")) return wholeNumber(1)(text);
  return text
    .split(",")
    .reduce<Readonly<Record<string, number>>>((named, part) => namedSize(part, named), {});
}
