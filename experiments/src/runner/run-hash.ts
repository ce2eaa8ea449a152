import { createHash } from "node:crypto";
import type { Experiment, Setup } from "../experiment.ts";

/** Names a run by all that its result depends on but the code: equal names, equal runs. 16 hexadecimal digits. */
export function runHash(
  { name, version, onBackend = false }: Experiment,
  setup: Setup,
  backend: string,
): string {
  const keys = Object.keys(setup).sort();
  const text = JSON.stringify([
    name,
    version,
    onBackend ? backend : null,
    keys.map((key) => [key, setup[key]]),
  ]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
