import { DgateError } from "../errors.ts";
import { makePlan, type PlannedAxis, type PrunePlan } from "./prune-plan.ts";

const axisFields = {
  site: "string",
  tensor: "string",
  axis: "number",
  size: "number",
  blockSize: "number",
} as const;

/**
 * Reads a plan from JSON text (or from parsed JSON) and checks it. Throws `FORMAT` with the place if it has another
 * form, `GROUP` if its indices do not fit (see `makePlan`).
 */
export function parsePlan(json: unknown): PrunePlan {
  const plan = expectRecord("plan", typeof json === "string" ? parseJson(json) : json);
  if (plan["version"] !== 1) {
    throw new DgateError(
      "FORMAT",
      `plan: version is ${show(plan["version"])}, expected 1; a newer @dgate may read it.`,
    );
  }
  const fingerprint = expectType("plan.fingerprint", plan["fingerprint"], "string") as string;
  const axes = expectArray("plan.axes", plan["axes"]).map((entry, i) => parseAxis(`plan.axes[${i}]`, entry));
  return makePlan({ fingerprint, axes });
}

function parseAxis(place: string, value: unknown): PlannedAxis {
  const entry = expectRecord(place, value);
  for (const [field, type] of Object.entries(axisFields)) expectType(`${place}.${field}`, entry[field], type);
  const kept = expectArray(`${place}.kept`, entry["kept"]);
  kept.forEach((index, i) => expectType(`${place}.kept[${i}]`, index, "number"));
  // Every field of PlannedAxis has been checked above.
  return entry as unknown as PlannedAxis;
}

/**
 * The plan as JSON that `parsePlan` reads (default; the same plan always gives the same text, one line per axis), or
 * as lines for people.
 */
export function printPlan(plan: PrunePlan, form: "json" | "text" = "json"): string {
  const { version, fingerprint, axes } = makePlan(plan);
  if (form === "text") {
    const lines = axes.map(
      ({ site, tensor, axis, size, blockSize, kept }) =>
        `  ${site}: ${kept.length} of ${size} stay (${ranges(kept)}), axis ${axis} of ${tensor}` +
        (blockSize > 1 ? `, ${blockSize} indices each` : ""),
    );
    return [`plan for model ${fingerprint}`, ...lines].join("\n");
  }
  const lines = axes.map((planned) => `\n    ${JSON.stringify(planned)}`).join(",");
  const body = lines === "" ? "" : `${lines}\n  `;
  return `{\n  "version": ${version},\n  "fingerprint": ${JSON.stringify(fingerprint)},\n  "axes": [${body}]\n}\n`;
}

/** Ascending indices as ranges: `0-3, 7`. */
function ranges(indices: readonly number[]): string {
  const runs: { from: number; to: number }[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && last.to === index - 1) last.to = index;
    else runs.push({ from: index, to: index });
  }
  return runs.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(", ") || "none";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DgateError("FORMAT", `plan: not JSON (${String(cause)}); was the file cut?`, { cause });
  }
}

function expectRecord(place: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return Object.fromEntries(Object.entries(value));
  throw new DgateError("FORMAT", `${place}: expected an object, got ${show(value)}.`);
}

function expectArray(place: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new DgateError("FORMAT", `${place}: expected a list, got ${show(value)}.`);
}

function expectType(place: string, value: unknown, type: "string" | "number"): unknown {
  if (typeof value === type) return value;
  throw new DgateError("FORMAT", `${place}: expected a ${type}, got ${show(value)}.`);
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : (JSON.stringify(value) ?? typeof value).slice(0, 40);
}
