import type { ModelFiles } from "../source/model-files.ts";

/** What the README of the base model says of itself: lines of its YAML front matter by key, as they stand there. */
export interface BaseCard {
  readonly license: string | undefined;
  /** Lines to take over. */
  readonly lines: readonly string[];
}

/** Keys that hold for a pruned model too. */
const carried: readonly string[] = ["license", "license_name", "license_link", "language"];

/** Reads the front matter of a model's README, if it has one. */
export async function readBaseCard(files: ModelFiles): Promise<BaseCard> {
  const bytes = await files.read("README.md").catch(() => undefined);
  const text = bytes ? new TextDecoder().decode(bytes) : "";
  const front = /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1] ?? "";
  const entries = new Map<string, string[]>();
  let open: string[] | undefined;
  for (const line of front.split(/\r?\n/)) {
    const key = /^([\w-]+):/.exec(line)?.[1];
    // What follows a key, indented or as a list, belongs to it.
    if (key !== undefined) entries.set(key, (open = [line]));
    else if (/^(\s+|-\s)/.test(line)) open?.push(line);
  }
  const [license] = entries.get("license") ?? [];
  return {
    license:
      license
        ?.slice("license:".length)
        .trim()
        .replace(/^["']|["']$/g, "") || undefined,
    lines: carried.flatMap((key) => entries.get(key) ?? []),
  };
}
