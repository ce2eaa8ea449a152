import { DgateError } from "@dgate/core";
import type { ModelSize } from "@dgate/onnx";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import { readBaseCard } from "./base-card.ts";
import { checkSaved } from "./check-saved.ts";
import { checkUnopened } from "./check-unopened.ts";
import { type ChosenVariants, chooseVariants } from "./choose-variants.ts";
import { configOf } from "./config-file.ts";
import { copiedFiles } from "./copied-files.ts";
import { contentOf, type FileContent, joined, textOf } from "./file-content.ts";
import { FolderWriter } from "./folder-writer.ts";
import { modelCard } from "./model-card.ts";
import { isNode } from "../node-modules.ts";
import { type OnnxWork, onnxFiles } from "./onnx-files.ts";
import type { ModelFilesOptions, SaveCheck, SavedFile, SaveOptions, SaveReport } from "./save-options.ts";
import { checkKnown, type KnownOptions } from "../known-options.ts";
import { stopIfAborted } from "../stop-if-aborted.ts";

const ofModelFiles: KnownOptions<ModelFilesOptions> = {
  dtypes: true,
  fuse: true,
  versions: true,
  externalData: true,
  quantize: true,
  onProgress: true,
  signal: true,
};
const ofSave: KnownOptions<SaveOptions> = { ...ofModelFiles, force: true, check: true, sample: true };

/**
 * Writes a pruned model as a folder that `pipeline(task, folder)` opens: see `PrunedTransformer.save`.
 *
 * @throws DgateError `UNSUPPORTED` in a page, `IO` for a folder that is there or cannot be written, `OPTION`, `CHECK` if what was written does not open or
 * computes something else, `ABORTED`; nothing is left behind then
 */
export async function saveModel(
  pruned: PrunedTransformer,
  folder: string,
  options: SaveOptions = {},
): Promise<SaveReport> {
  const { force = false, check = true, signal } = options;
  if (!isNode()) {
    throw new DgateError(
      "UNSUPPORTED",
      "save: a page cannot write folders; modelFiles() gives the files as a map.",
    );
  }
  if (typeof folder !== "string" || folder === "") {
    throw new DgateError("OPTION", "save: give the path of the folder to write.");
  }
  checkKnown("save", options, ofSave);
  const chosen = chooseVariants(pruned, options);
  stopIfAborted(signal, "save");
  const writer = await FolderWriter.open(folder, {
    force,
    source: pruned.gates.internals.model.files.name,
    signal,
  });
  try {
    const work = workOf(pruned, chosen, options);
    for await (const file of modelContents(work)) {
      options.onProgress?.({ phase: "write", what: file.path });
      await writer.write(file);
    }
    const checks = check ? await runChecks(work, writer.temporary, options) : [];
    const report = reportOf(work, writer.target, writer.files, checks);
    await writer.write(await cardOf(pruned, nameOf(writer.target), report));
    await writer.finish();
    return { ...report, files: writer.files };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

/**
 * The files of a pruned model by their path in its folder, in memory: for pages.
 *
 * @throws DgateError `OPTION`, `CHECK` with `fuse: true`, `ABORTED`
 */
export async function modelFileMap(
  pruned: PrunedTransformer,
  options: ModelFilesOptions = {},
): Promise<Map<string, Uint8Array>> {
  checkKnown("modelFiles", options, ofModelFiles);
  const work = workOf(pruned, chooseVariants(pruned, options), options);
  const found = new Map<string, Uint8Array>();
  const files: SavedFile[] = [];
  const add = (file: FileContent): void => {
    const bytes = "linkOf" in file ? found.get(file.linkOf)! : joined(file.sizeBytes, file.chunks());
    found.set(file.path, bytes);
    files.push({
      path: file.path,
      sizeBytes: bytes.length,
      ...("linkOf" in file && { linkOf: file.linkOf }),
    });
  };
  for await (const file of modelContents(work)) add(file);
  const name = nameOf(pruned.gates.internals.model.files.name);
  add(await cardOf(pruned, `${name}-pruned`, reportOf(work, name, files, [])));
  return found;
}

const nameOf = (path: string): string => path.split(/[\\/]/).findLast((part) => part !== "") ?? path;

const workOf = (pruned: PrunedTransformer, chosen: ChosenVariants, options: ModelFilesOptions): OnnxWork => {
  return { pruned, chosen, options, fused: [], notes: [...pruned.notes], external: [] };
};

/** All files but the model card. */
async function* modelContents(work: OnnxWork): AsyncGenerator<FileContent> {
  const { model } = work.pruned.gates.internals;
  yield* onnxFiles(work);
  const config = configOf(work.pruned.config, { dtypes: work.chosen.dtypes, external: work.external });
  const bytes = config === model.config ? await model.files.read("config.json") : undefined;
  yield bytes
    ? contentOf("config.json", bytes)
    : textOf("config.json", `${JSON.stringify(config, undefined, 2)}\n`);
  yield* await copiedFiles(model.files);
}

async function runChecks(
  { pruned, chosen, notes, external }: OnnxWork,
  folder: string,
  options: SaveOptions,
): Promise<SaveCheck[]> {
  const { major, version } = pruned.gates.internals.library;
  const checks: SaveCheck[] = [];
  if (!chosen.versions.includes(major) || (major === 2 && external.length > 0)) {
    notes.push(
      `the folder is not for the version of transformers.js that is installed (${version}), so it was not opened.`,
    );
    return checks;
  }
  for (const dtype of chosen.dtypes) {
    stopIfAborted(options.signal, "save");
    options.onProgress?.({ phase: "check", what: dtype });
    const opens = major !== 2 || dtype === "fp32" || dtype === "q8";
    checks.push(
      opens
        ? await checkSaved(pruned, folder, dtype, options.sample)
        : await checkUnopened(pruned, folder, dtype),
    );
  }
  return checks;
}

function reportOf(
  { pruned, chosen, fused, notes, external }: OnnxWork,
  folder: string,
  files: readonly SavedFile[],
  checks: readonly SaveCheck[],
): SaveReport {
  const versions = external.length > 0 ? chosen.versions.filter((version) => version !== 2) : chosen.versions;
  const [before, after] = [
    total(pruned.files.map((file) => file.before)),
    total(pruned.files.map((file) => file.after)),
  ];
  return { folder, files, dtypes: chosen.dtypes, versions, fused, checks, before, after, notes };
}

const total = (sizes: readonly ModelSize[]): ModelSize => {
  const sum = (key: keyof ModelSize): number => sizes.reduce((all, size) => all + size[key], 0);
  return { parameters: sum("parameters"), macs: sum("macs"), bytes: sum("bytes") };
};

async function cardOf(pruned: PrunedTransformer, name: string, report: SaveReport): Promise<FileContent> {
  const base = await readBaseCard(pruned.gates.internals.model.files);
  return textOf("README.md", modelCard(pruned, { ...report, name, base }));
}
