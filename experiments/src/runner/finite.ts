import { DgateError } from "@dgate/core";

/**
 * Refuses a result with a number that is not finite: JSON has none of them, and a comparison with what comes in their place would hold.
 *
 * @throws DgateError `DIVERGED` naming the place
 */
export function checkFinite(value: unknown, place: string): void {
  if (typeof value === "number" && !Number.isFinite(value))
    throw new DgateError("DIVERGED", `${place} is ${value}; the run diverged, take a smaller step.`);
  if (typeof value !== "object" || value === null) return;
  for (const [name, part] of Object.entries(value)) checkFinite(part, `${place}.${name}`);
}
