import type { Dtype, HeadGatesOptions, LearnOptions, SiteGroup, Target } from "@dgate/transformers";
import type { Columns } from "./example-of.ts";

/** What `dgate learn` is asked for. What is left out is for @dgate/transformers to choose. */
export interface LearnRequest extends Columns {
  /** A model folder, or an id of the hub. */
  readonly model: string;
  readonly data: string;
  readonly out: string;
  readonly target: Target | undefined;
  readonly sites: readonly SiteGroup[];
  readonly train: NonNullable<LearnOptions["train"]>;
  readonly depth: number;
  readonly threads: number;
  readonly seed: number;
  readonly lambda?: number | undefined;
  readonly objective?: LearnOptions["objective"] | undefined;
  readonly steps?: number | undefined;
  readonly rounds?: number | undefined;
  readonly batch?: number | undefined;
  readonly learningRate?: number | undefined;
  readonly gateRate?: number | undefined;
  /** A fraction of the data, or a file of its own. */
  readonly heldOut?: number | string | undefined;
  readonly maxLength?: number | undefined;
  readonly limit?: number | undefined;
  readonly minimum?: number | undefined;
  /** Whether all layers keep the same number of heads; by default so in decoders with a cache. */
  readonly even?: boolean | undefined;
  readonly latency: boolean;
  readonly dim?: Readonly<Record<string, number>> | undefined;
  readonly dtype?: Dtype | undefined;
  readonly dtypes?: readonly Dtype[] | undefined;
  readonly fuse: boolean;
  readonly task?: string | undefined;
  readonly revision?: string | undefined;
  readonly subfolder?: string | undefined;
  readonly cacheDir?: string | undefined;
  /** Whether nothing is downloaded. */
  readonly local: boolean;
  readonly force: boolean;
}

/** Where the model's files are, as @dgate/transformers takes it. */
export function filesOf({
  revision,
  subfolder,
  cacheDir,
  local,
}: Pick<LearnRequest, "revision" | "subfolder" | "cacheDir" | "local">): Pick<
  HeadGatesOptions,
  "revision" | "subfolder" | "cacheDir" | "localFilesOnly"
> {
  return { ...given({ revision, subfolder, cacheDir }), ...(local && { localFilesOnly: true }) };
}

/** Without the entries that are not given. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // Object.fromEntries forgets the keys, which are those of T.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
