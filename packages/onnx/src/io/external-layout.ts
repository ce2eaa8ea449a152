import type { Tensor } from "../graph/tensor.ts";
import type { ExternalReference } from "./external-data.ts";
import { contentOf } from "./tensor-data.ts";

/** Every content begins at a multiple of this: enough for any typed array, and for vector loads from a mapped file. */
const alignment = 64;

/** Contents of at least `largeContent` bytes begin at a page, so that a runtime can map them alone. */
const pageSize = 4096;
const largeContent = 2 ** 20;

/** Lays contents out one after the other in one external file; a content that is given twice is stored once. */
export class ExternalLayout {
  readonly location: string;
  readonly #threshold: number;
  /** Offsets by content; the order of insertion is the order of the file. */
  readonly #offsets = new Map<Uint8Array, number>();
  #size = 0;

  /**
   * @param location the file's name, as it stands in the model
   * @param threshold contents of fewer bytes stay in the model
   */
  constructor(location: string, threshold: number) {
    this.location = location;
    this.#threshold = threshold;
  }

  /** Bytes of the file so far. */
  get sizeBytes(): number {
    return this.#size;
  }

  /** Gives a content its place; `undefined` for what stays in the model: small tensors, and texts, which have no bytes. */
  readonly place = (tensor: Tensor): ExternalReference | undefined => {
    if (tensor.dtype === "string" || tensor.bytes.length < Math.max(1, this.#threshold)) return undefined;
    const content = contentOf(tensor);
    let offset = this.#offsets.get(content);
    if (offset === undefined) {
      offset = alignUp(this.#size, content.length < largeContent ? alignment : pageSize);
      this.#offsets.set(content, offset);
      this.#size = offset + content.length;
    }
    return { location: this.location, offset, length: content.length };
  };

  /** The file's content piece by piece: the tensors' own bytes, and zeros between them. */
  *chunks(): Generator<Uint8Array, void, undefined> {
    let at = 0;
    for (const [content, offset] of this.#offsets) {
      if (offset > at) yield new Uint8Array(offset - at);
      yield content;
      at = offset + content.length;
    }
  }
}

function alignUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}
