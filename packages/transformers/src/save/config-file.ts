import type { Dtype } from "../source/dtype.ts";

type Config = Readonly<Record<string, unknown>>;

/** What versions 3 and 4 have to know of the written files. */
export interface WrittenFiles {
  readonly dtypes: readonly Dtype[];
  /** Names of files that have their weights beside them. */
  readonly external: readonly string[];
}

/**
 * The config of a written folder: that of the pruned model, with what `transformers.js_config` has to say so that `pipeline(task, folder)` finds
 * its files without options: an element type where not both of those are there that are loaded by default (`fp32` in Node, `q8` in WASM), and
 * the files that have external data. The same object if it says all that.
 */
export function configOf(config: Config, { dtypes, external }: WrittenFiles): Config {
  const before = asConfig(config[entry]);
  const after: Record<string, unknown> = { ...before };
  const defaults: readonly Dtype[] = ["fp32", "q8"];
  if (!areWritten(before["dtype"], dtypes)) delete after["dtype"];
  if (after["dtype"] === undefined && !defaults.every((dtype) => dtypes.includes(dtype)))
    after["dtype"] = dtypes[0];
  const devices = asConfig(before["device_config"]);
  const kept = Object.entries(devices).map(
    ([device, own]) => [device, withoutMissing(asConfig(own), dtypes)] as const,
  );
  if (kept.length > 0) after["device_config"] = Object.fromEntries(kept);
  if (external.length > 0)
    after["use_external_data_format"] = Object.fromEntries(external.map((name) => [name, 1]));
  else delete after["use_external_data_format"];
  if (JSON.stringify(after) === JSON.stringify(before)) return config;
  return { ...config, [entry]: after };
}

const entry = "transformers.js_config";

const asConfig = (value: unknown): Config =>
  typeof value === "object" && value !== null ? (value as Config) : {}; // read by key, each checked

/** Whether all element types that a config asks for, for all files or file by file, are there. */
const areWritten = (asked: unknown, dtypes: readonly Dtype[]): boolean =>
  (typeof asked === "object" && asked !== null ? Object.values(asked) : [asked]).every(
    (dtype) => dtype === undefined || dtype === "auto" || dtypes.some((each) => each === dtype),
  );

function withoutMissing(own: Config, dtypes: readonly Dtype[]): Config {
  if (areWritten(own["dtype"], dtypes)) return own;
  const { dtype: _, ...others } = own;
  return others;
}
