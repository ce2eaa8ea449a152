import type { Library, LibraryModel } from "../library/library.ts";
import { type CacheHeads, evenHeads } from "./cache-heads.ts";
import type { ModelConfig } from "./decoder-config.ts";

type Fields = Record<string, unknown>;

/**
 * Lets a loaded model make empty caches in the sizes of a pruned one. Version 2 keeps the sizes in fields of the model, set when it was loaded; later versions
 * read the model's config at each call.
 *
 * @returns puts the former sizes back
 */
export function resizeCaches(
  { major }: Library,
  model: LibraryModel,
  config: ModelConfig,
  heads: CacheHeads,
): () => void {
  const fields = model as unknown as Fields; // plain properties
  const changed =
    major === 2 ? version2Fields(fields, heads) : { config: newConfig(fields["config"] as Fields, config) };
  const before = Object.fromEntries(Object.keys(changed).map((key) => [key, fields[key]]));
  Object.assign(fields, changed);
  return () => {
    Object.assign(fields, before);
  };
}

function version2Fields(fields: Fields, heads: CacheHeads): Fields {
  const sizes: readonly (readonly [string, number | undefined])[] = [
    ["num_heads", evenHeads(heads)],
    ["dim_kv", heads.headDim],
    ["num_decoder_heads", heads.decoder[0]],
    ["decoder_dim_kv", heads.headDim],
    ["num_encoder_heads", heads.encoder[0]],
    ["encoder_dim_kv", heads.headDim],
  ];
  return Object.fromEntries(sizes.filter(([key, size]) => key in fields && size !== undefined));
}

/** The library's config object computes what it derives from the keys when it is made. */
function newConfig(own: Fields, config: ModelConfig): unknown {
  const Config = own.constructor as new (json: Fields) => unknown; // PretrainedConfig
  return new Config({ ...own, ...config });
}
