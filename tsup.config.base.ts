import type { Options } from "tsup";

/** What every package's build shares: ESM only, no bundled declarations (tsc writes them). */
export function library(entry: Record<string, string>, options: Options = {}): Options {
  return {
    entry,
    format: ["esm"],
    target: "es2022",
    outDir: "dist",
    clean: true,
    dts: false,
    sourcemap: true,
    splitting: true,
    treeshake: true,
    silent: true,
    ...options,
  };
}
