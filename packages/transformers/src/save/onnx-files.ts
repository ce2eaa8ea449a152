import { type Graph, quantizeBlocks, quantizeDynamic, writeModelParts } from "@dgate/onnx";
import { imageDims } from "../prune/dims.ts";
import type { PrunedFile, PrunedTransformer } from "../prune/pruned-transformer.ts";
import { type Dtype, dtypeSuffixes } from "../source/dtype.ts";
import type { ChosenVariants } from "./choose-variants.ts";
import { type FileContent, contentOf } from "./file-content.ts";
import { type FusedGraph, fuseFile } from "./fuse-file.ts";
import { removalMetadata } from "./removed-blocks.ts";
import type { ModelFilesOptions, SavedFusion } from "./save-options.ts";
import { stopIfAborted } from "../stop-if-aborted.ts";

/** What ONNX files are made from, and what comes up on the way. */
export interface OnnxWork {
  readonly pruned: PrunedTransformer;
  readonly chosen: ChosenVariants;
  readonly options: ModelFilesOptions;
  readonly fused: SavedFusion[];
  readonly notes: string[];
  /** Names of files that have their weights beside them. */
  readonly external: string[];
}

/** The ONNX files of a pruned model, one after the other, so that one variant at a time is in memory. */
export async function* onnxFiles(work: OnnxWork): AsyncGenerator<FileContent> {
  for (const file of work.pruned.files) {
    const [name, ...others] = fileNames(work, file);
    const variants = new Variants(work, file);
    let int8: string | undefined;
    for (const dtype of work.chosen.dtypes) {
      stopIfAborted(work.options.signal, "save");
      const path = pathOf(name, dtype);
      // Both are symmetric int8.
      const isInt8 = !file.part.quantized && (dtype === "q8" || dtype === "int8");
      if (isInt8 && int8 !== undefined) yield { path, linkOf: int8 };
      else yield* variants.files(path, dtype);
      if (isInt8 && work.external.length === 0) int8 ??= path;
      // Weights beside a file are not for version 2, which alone asks for the other name.
      if (work.external.includes(path.slice(folder.length))) continue;
      for (const other of others) yield { path: pathOf(other, dtype), linkOf: path };
    }
  }
}

const folder = "onnx/";

const pathOf = (name: string, dtype: Dtype): string => `${folder}${name}${dtypeSuffixes[dtype]}.onnx`;

/** Names of a file without dtype and ending: versions 3 and 4 load decoders as `model`, version 2, where the folder is for it, as `decoder_model_merged`. */
function fileNames({ pruned, chosen }: OnnxWork, { part }: PrunedFile): readonly [string, ...string[]] {
  const { file } = part.source.slot;
  if (pruned.gates.internals.model.kind.output !== "language") return [file];
  const { versions } = chosen;
  if (versions.every((version) => version === 2)) return ["decoder_model_merged"];
  return versions.includes(2) ? ["model", "decoder_model_merged"] : ["model"];
}

/** The variants of one file. */
class Variants {
  readonly #work: OnnxWork;
  readonly #file: PrunedFile;
  /** Fused graphs by what they are fused for. */
  readonly #fused = new Map<string, FusedGraph>();

  constructor(work: OnnxWork, file: PrunedFile) {
    this.#work = work;
    this.#file = file;
  }

  async *files(path: string, dtype: Dtype): AsyncGenerator<FileContent> {
    const { pruned, options, external } = this.#work;
    const graph = await this.#graph(path, dtype);
    const { info } = graph;
    graph.info = {
      ...info,
      metadata: new Map([...info.metadata, ["dgate", removalMetadata(pruned, this.#file.part.file)]]),
    };
    const name = path.slice(folder.length);
    const { model, data } = writeModelParts(graph, `${name}_data`, {
      ...(options.externalData !== undefined && { externalData: options.externalData }),
    });
    yield contentOf(path, model);
    if (!data) return;
    external.push(name);
    yield { path: `${path}_data`, sizeBytes: data.sizeBytes, chunks: data.chunks };
  }

  /** A graph of its own for a file. */
  async #graph(path: string, dtype: Dtype): Promise<Graph> {
    const { options, notes } = this.#work;
    const fused = await this.#fuse(path, dtype);
    if (dtype === this.#work.pruned.gates.internals.model.dtype) return fused.clone();
    stopIfAborted(options.signal, "save");
    options.onProgress?.({ phase: "quantize", what: path });
    const { dynamic, blocks } = options.quantize ?? {};
    const { graph, report } =
      dtype === "q4"
        ? quantizeBlocks(fused, blocks)
        : quantizeDynamic(fused, { weightType: dtype === "uint8" ? "uint8" : "int8", ...dynamic });
    if (report.quantized.length === 0)
      notes.push(`${path}: no layer could be quantized; it is as large as the float32 file.`);
    return graph;
  }

  async #fuse(path: string, dtype: Dtype): Promise<Graph> {
    const { pruned, chosen, options, notes } = this.#work;
    const { fuse = "auto", onProgress, signal } = options;
    const { graph, part, dims } = this.#file;
    if (fuse === false) return graph;
    const targets = chosen.targets(dtype);
    const quantized = part.quantized || dtype !== pruned.gates.internals.model.dtype;
    const key = JSON.stringify([targets, quantized]);
    let fused = this.#fused.get(key);
    if (!fused) {
      onProgress?.({ phase: "fuse", what: path });
      fused = await fuseFile(graph, {
        targets,
        quantized,
        strict: fuse === true,
        dims: imageDims(dims),
        ...pruned.gates.internals.runtime.engine,
        ...(signal && { signal }),
      });
      this.#fused.set(key, fused);
      if (fused.note !== undefined) notes.push(`${path}: ${fused.note}`);
    }
    this.#work.fused.push(fusionOf(path, fused));
    return fused.graph;
  }
}

function fusionOf(path: string, { report, maxRelDiff }: FusedGraph): SavedFusion {
  const operators: Record<string, number> = {};
  for (const { op } of report.fused) operators[op] = (operators[op] ?? 0) + 1;
  const skipped = report.skipped.map(({ node, reason }) => ({ node, reason }));
  return { path, operators, skipped, ...(maxRelDiff !== undefined && { maxRelDiff }) };
}
