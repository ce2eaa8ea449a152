import type { Graph, ModelSize } from "@dgate/onnx";
import { type CacheHeads, cacheHeads, sameHeads } from "../decoder/cache-heads.ts";
import { type ModelConfig, type PrunedConfig, prunedConfig } from "../decoder/decoder-config.ts";
import type { LibraryMajor } from "../decoder/decoder-families.ts";
import type { GivenModel, GivenPipeline } from "../library/library.ts";
import { attachPruned } from "./attach-pruned.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import type { HeadGates } from "../head-gates.ts";
import type { LearnReport } from "../learn/learn-report.ts";
import { modelFileMap, saveModel } from "../save/save-model.ts";
import type { ModelFilesOptions, SaveOptions, SaveReport } from "../save/save-options.ts";
import type { KeptGroups } from "./choose-groups.ts";
import { isLearned } from "./is-learned.ts";
import type { PrunedPart } from "./prune-part.ts";

/** One file of a pruned model. */
export interface PrunedFile {
  readonly part: GatedPart;
  readonly graph: Graph;
  readonly before: ModelSize;
  readonly after: ModelSize;
  /** What was removed and how it was proven; `undefined` of a file that stays as it is. */
  readonly pruned: PrunedPart | undefined;
  /** Sizes that multiply–adds are counted for. */
  readonly dims: Readonly<Record<string, number>>;
}

/** A pruned model: its graphs, what was removed, and how to run and save it. */
export class PrunedTransformer {
  readonly gates: HeadGates;
  readonly files: readonly PrunedFile[];
  /** Groups that stay, of all blocks from which something went. */
  readonly kept: KeptGroups;
  /** What `learn` found of this model; `undefined` where other groups were removed than those that were learned. */
  readonly learned: LearnReport | undefined;

  /** Made by `HeadGates.prune`. */
  constructor(gates: HeadGates, files: readonly PrunedFile[], kept: KeptGroups) {
    this.gates = gates;
    this.files = files;
    this.kept = kept;
    const { learned } = gates;
    // Gates may be set and learned anew while this model stays what it is.
    this.learned = learned && isLearned(learned, gates, kept) ? learned : undefined;
  }

  /** The heads that the decoder's caches are left with; `undefined` of a model without caches, or whose caches keep their size. */
  get caches(): CacheHeads | undefined {
    const changed = this.files.find(
      ({ part, graph }) => !sameHeads(cacheHeads(part.source.graph), cacheHeads(graph)),
    );
    return changed && cacheHeads(changed.graph);
  }

  /** The model's config.json: that of the dense model, with the sizes of caches where heads of a decoder went. */
  get config(): ModelConfig {
    return this.#pruned().config;
  }

  /** The versions of transformers.js that run the pruned model, as far as they ran the dense one. */
  get versions(): readonly LibraryMajor[] {
    return this.#pruned().versions;
  }

  /** Why a version is left out, and what keys of the config no longer say. */
  get notes(): readonly string[] {
    return this.#pruned().notes;
  }

  #pruned(): PrunedConfig {
    const { config } = this.gates.internals.model;
    const { caches } = this;
    return caches ? prunedConfig(config, caches) : { config, versions: [2, 3, 4], notes: [] };
  }

  /**
   * Lets a pipeline run the pruned model: by default the one that was opened. Call the function that comes back to put the former sessions in
   * their places again. Nothing is written; what `save` writes is opened with `pipeline()`.
   *
   * @throws DgateError `UNSUPPORTED` for a decoder that the opened version of transformers.js cannot run, `OPTION` for a pipeline that runs in another
   * onnxruntime, `CHECK` for one of another model
   */
  attach(target: GivenPipeline | GivenModel = this.gates.pipeline): Promise<() => Promise<void>> {
    return attachPruned(this, target);
  }

  /**
   * Writes a complete model folder: config, tokenizer and processor, generation config, ONNX files in the chosen element types under the names
   * of the hub, and a README.md of what was removed and measured. `pipeline(task, folder)` opens it. In Node the written files are opened and run
   * before the folder gets its name.
   *
   * @throws DgateError `UNSUPPORTED` in a page, `IO` for a folder that is there (without `force`) or cannot be written, `OPTION`, `CHECK` if what was
   * written does not open or computes something else, `ABORTED` by the signal; nothing is left behind then
   */
  save(folder: string, options: SaveOptions = {}): Promise<SaveReport> {
    return saveModel(this, folder, options);
  }

  /**
   * The files of the folder that `save` would write, by their path in it: for pages, which cannot write folders.
   *
   * @throws DgateError `OPTION`, `CHECK` if `fuse` is true and a fused file differs, `ABORTED` by the signal
   */
  modelFiles(options: ModelFilesOptions = {}): Promise<Map<string, Uint8Array>> {
    return modelFileMap(this, options);
  }
}
