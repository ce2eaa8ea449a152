import type { Library, LibraryPipeline } from "../library/library.ts";
import type { TaskKind } from "../source/task.ts";

/** What a pipeline is called with to see that it runs. */
export function sampleInput(
  { module }: Library,
  { task, input, output }: TaskKind,
  { tokenizer, model }: LibraryPipeline,
): readonly unknown[] {
  if (input === "image") return [noise(module.RawImage, model.config["image_size"])];
  const text = "Once upon a time there was a small model that did the work of a large one.";
  if (task === "question-answering") return ["What was there?", text];
  if (task === "fill-mask") {
    const mask = (tokenizer as { readonly mask_token?: string } | null | undefined)?.mask_token ?? "[MASK]"; // a property of all tokenizers
    return [`Once upon a ${mask} there was a small model.`];
  }
  // A few tokens: with them a decoder runs with an empty and with a filled cache.
  const isGenerated = output === "language" || output === "seq2seq";
  return isGenerated ? [text, { max_new_tokens: 4, do_sample: false }] : [text];
}

type ImageClass = new (data: Uint8ClampedArray, width: number, height: number, channels: 3) => unknown;

/** The same image every time, of the size that the model takes, with all colours. */
function noise(RawImage: unknown, size: unknown): unknown {
  const side = typeof size === "number" ? size : 224;
  const data = Uint8ClampedArray.from({ length: side * side * 3 }, (_, i) => (i * 2_654_435_761) % 251);
  return new (RawImage as ImageClass)(data, side, side, 3); // the class of all versions
}
