import { dtypeSuffixes } from "@dgate/transformers";
import type { Job } from "../ui/use-jobs.tsx";
import { onOurRuntime } from "./library.ts";
import type { TextPipeline } from "./measures.ts";
import { blobsOf } from "./memory-files.ts";
import { fromMemory, type OpenedModel } from "./open-model.ts";

/** A file of a written model, opened as its users open it. */
export interface WrittenModel {
  readonly dtype: string;
  /** Of the ONNX files of this element type. */
  readonly bytes: number;
  readonly run: TextPipeline;
  readonly dispose: () => Promise<unknown>;
}

/**
 * Opens a written model folder with `pipeline()` in each of its element types, from memory.
 *
 * @returns with the reasons why one does not open here
 */
export async function openWritten(
  { library, memory, subfolder, facts }: OpenedModel,
  files: ReadonlyMap<string, Uint8Array>,
  onJob: (job: Job) => void,
): Promise<{ readonly opened: readonly WrittenModel[]; readonly notes: readonly string[] }> {
  const name = `${facts.name.split("/").at(-1)}-pruned`;
  memory.put(name, blobsOf(files));
  const opened: WrittenModel[] = [];
  const notes: string[] = [];
  const restore = fromMemory(library, memory);
  try {
    for (const [dtype, bytes] of bytesByDtype(files)) {
      onJob({ text: `Opening pruned, ${dtype}`, part: undefined });
      try {
        const options = { ...onOurRuntime, dtype, subfolder };
        // Any task that it has: that of the dense model.
        const made = await library.transformers.pipeline(facts.task as "text-classification", name, options);
        // A pipeline for texts, as the dense one.
        const run = made as unknown as TextPipeline;
        opened.push({ dtype, bytes, run, dispose: () => made.dispose() });
      } catch (error) {
        notes.push(
          `pruned, ${dtype}, could not be opened here: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  } finally {
    restore();
    // A pipeline has read all that it needs.
    memory.remove(name);
  }
  return { opened, notes };
}

/** Element types of the ONNX files of a folder, with their bytes. */
function bytesByDtype(
  files: ReadonlyMap<string, Uint8Array>,
): readonly (readonly [dtype: keyof typeof dtypeSuffixes, bytes: number])[] {
  const names = [...files.keys()].filter((path) => path.endsWith(".onnx"));
  const stem = names.some((path) => /(^|\/)encoder_model/.test(path))
    ? "(encoder_model|decoder_model_merged)"
    : "model";
  // The keys of the table are the names of element types.
  return (Object.entries(dtypeSuffixes) as [keyof typeof dtypeSuffixes, string][]).flatMap(
    ([dtype, suffix]) => {
      const own = names.filter((path) => new RegExp(`(^|/)${stem}${suffix}\\.onnx$`).test(path));
      return own.length > 0
        ? [[dtype, own.reduce((sum, path) => sum + files.get(path)!.length, 0)] as const]
        : [];
    },
  );
}
