import { DgateError } from "@dgate/core";
import { type CacheHeads, evenHeads } from "./cache-heads.ts";
import { type DecoderFamily, decoderFamilies, innerConfigs, type LibraryMajor } from "./decoder-families.ts";

/** The content of a config.json. */
export type ModelConfig = Readonly<Record<string, unknown>>;

/** What the config of a pruned decoder says, and who can run it. */
export interface PrunedConfig {
  /** The content of config.json. */
  readonly config: ModelConfig;
  /** The versions of transformers.js whose caches come out as the model wants them. */
  readonly versions: readonly LibraryMajor[];
  /** What a reader of the config should know: why a version is left out, which keys no longer mean what their names say. */
  readonly notes: readonly string[];
}

/**
 * The config of a decoder of which key–value heads were removed. Version 4 of transformers.js reads the sizes of caches from the
 * model; versions 2 and 3 compute them from the config, one size for all layers, so that they run a decoder only if its layers have equally
 * many heads.
 *
 * @param heads of the pruned model: see `cacheHeads`
 * @throws DgateError `FORMAT` where the config has no such part as its `model_type` promises
 */
export function prunedConfig(config: ModelConfig, heads: CacheHeads): PrunedConfig {
  const type = String(config["model_type"]);
  const inner = innerConfigs[type];
  if (inner !== undefined) {
    const own = config[inner];
    if (own === null || typeof own !== "object") {
      throw new DgateError(
        "FORMAT",
        `prune: config.json of a ${type} has no "${inner}" that describes its decoder.`,
      );
    }
    const found = prunedConfig(own as ModelConfig, heads); // an object of JSON
    return { ...found, config: { ...config, [inner]: found.config } };
  }
  // The one config that lists heads by layer; version 2 does not know it.
  if (type === "openelm")
    return { config: { ...config, num_kv_heads: [...heads.decoder] }, versions: [3, 4], notes: [] };
  const count = evenHeads(heads);
  if (count === undefined || heads.headDim === undefined)
    return { config, versions: [4], notes: [whyUneven(heads)] };
  const family = decoderFamilies[type];
  if (!family) {
    return {
      config,
      versions: [4],
      notes: [
        `where the config of a ${type} has its key–value heads is not known: versions 2 and 3 of transformers.js may make caches of another size`,
      ],
    };
  }
  return evenConfig(config, family, { count, headDim: heads.headDim });
}

function whyUneven({ decoder, encoder, headDim }: CacheHeads): string {
  const own = decoder.join(", ");
  const counts = encoder.length > 0 ? `${own} (own) and ${encoder.join(", ")} (of the encoder)` : own;
  const what = headDim === undefined ? "heads of several lengths" : `${counts} key–value heads`;
  return (
    `the layers keep ${what}: versions 2 and 3 of transformers.js make caches of one size for all layers, version 4 reads them from the model` +
    (headDim === undefined ? "" : "; { even: true } of learn, or of prune with keep, keeps equally many")
  );
}

function evenConfig(
  config: ModelConfig,
  family: DecoderFamily,
  { count, headDim }: { readonly count: number; readonly headDim: number },
): PrunedConfig {
  const { width, dim, ratio } = family;
  const changed: Record<string, unknown> = { ...config };
  for (const key of family.heads) changed[key] = count;
  if (width !== undefined) changed[width] = count * headDim;
  if (dim !== undefined) changed[dim] = headDim;
  const notes: string[] = [];
  if (width !== undefined && changed[width] !== config[width]) {
    notes.push(
      `"${width}" is the heads' ${count} × ${headDim}, from which transformers.js computes the head dim, and not the width of the model`,
    );
  }
  if (!ratio || !family.versions.includes(2)) return { config: changed, versions: family.versions, notes };
  if (Number(config[ratio[0]]) / Number(config[ratio[1]]) === headDim) {
    notes.push(
      `"${ratio[1]}" stays as it was, for version 2 of transformers.js computes the head dim from it`,
    );
    return { config: changed, versions: family.versions, notes };
  }
  const why = `${ratio[0]} / ${ratio[1]} is not the head dim ${headDim}, so that version 2 of transformers.js cannot run the model`;
  return {
    config: changed,
    versions: family.versions.filter((version) => version !== 2),
    notes: [...notes, why],
  };
}
