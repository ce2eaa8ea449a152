import type { SiteGroup } from "../blocks/block.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";

/** What stays of a block. */
export interface RemainingBlock {
  readonly file: string;
  readonly name: string;
  readonly group: SiteGroup;
  readonly layer: number;
  readonly groups: number;
  readonly kept: readonly number[];
}

/** All blocks of the kinds that were gated, those that stay whole too, in the order of the model. */
export function remainingBlocks({ gates, files, kept }: PrunedTransformer): RemainingBlock[] {
  const chosen = gates.internals.groups;
  return files.flatMap(({ part }) =>
    part.blocks
      .filter(({ group, name }) => chosen.includes(group) || kept.has(name))
      .map(({ file, name, group, layer, groups }) => {
        return {
          file,
          name,
          group,
          layer,
          groups,
          kept: kept.get(name) ?? Array.from({ length: groups }, (_, i) => i),
        };
      }),
  );
}

/**
 * The entry `dgate` of a written file's metadata_props: what was removed from it, as JSON. Of attention layers it names the heads that stayed, of
 * feed-forward layers and branches their number.
 */
export function removalMetadata(pruned: PrunedTransformer, file: string): string {
  const removed = remainingBlocks(pruned)
    .filter((block) => block.file === file && block.kept.length < block.groups)
    .map(({ name, group, groups, kept }) => {
      return {
        site: name,
        kind: group,
        groups,
        kept: kept.length,
        ...(group === "heads" && { heads: kept }),
      };
    });
  return JSON.stringify({ version: 1, base: pruned.gates.internals.model.files.name, removed });
}
