import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import type { ExternalReference } from "./external-data.ts";

/** A file beside a model that holds constants. */
export interface ExternalFile {
  /** Path below the model's folder, as the model names it. */
  readonly location: string;
  readonly sizeBytes: number;
}

interface KnownFile extends ExternalFile {
  /** Contents by their range; tensors that share one share its memory. */
  readonly contents: Map<string, Uint8Array>;
  /** Bytes read from the file. */
  taken: number;
}

/** Tensors may share bytes of a file, but not so that they take more than this many times its size. */
const maxOverlap = 2;

/**
 * Reads ranges of the files beside one model, each range into memory of its own, so that no file is ever held whole. Files
 * must be regular ones below the model's folder; links are refused, for a model from elsewhere could point them at anything.
 */
export class ExternalFiles {
  readonly #model: string;
  readonly #folder: string;
  readonly #known = new Map<string, KnownFile>();

  /**
   * @param model the model's path, for messages
   * @param folder where the files lie
   */
  constructor(model: string, folder: string) {
    this.#model = model;
    this.#folder = folder;
  }

  /** The files read from so far. */
  get files(): readonly ExternalFile[] {
    return [...this.#known.values()].map(({ location, sizeBytes }) => ({ location, sizeBytes }));
  }

  /**
   * The content that a checked reference names (see `externalReference`).
   *
   * @throws DgateError `FORMAT` for a link, for what is no regular file, for a range outside of the file, and for tensors that
   * overlap so much that they would take more than twice the file's size; `IO` if the file cannot be read;
   * `UNSUPPORTED` if there is no memory for it
   */
  read({ location, offset, length }: ExternalReference): Uint8Array {
    const where = `${this.#model}: external data "${location}"`;
    const path = join(this.#folder, location);
    const range = `${offset} ${length}`;
    const shared = this.#known.get(path)?.contents.get(range);
    if (shared) return shared;
    const descriptor = openRegular(where, this.#folder, location);
    try {
      const { size } = fstatSync(descriptor);
      const file: KnownFile = this.#known.get(path) ?? {
        location,
        sizeBytes: size,
        contents: new Map(),
        taken: 0,
      };
      this.#known.set(path, file);
      file.taken += length;
      checkRange(where, offset, length, file);
      const content = readRange(where, descriptor, offset, length);
      file.contents.set(range, content);
      return content;
    } finally {
      closeSync(descriptor);
    }
  }
}

function checkRange(where: string, offset: number, length: number, { sizeBytes, taken }: KnownFile): void {
  if (offset + length > sizeBytes) {
    throw new DgateError(
      "FORMAT",
      `${where}: bytes ${offset} to ${offset + length} are asked for, the file has ${sizeBytes}; it is cut off.`,
    );
  }
  if (taken > maxOverlap * sizeBytes) {
    throw new DgateError(
      "FORMAT",
      `${where}: tensors overlap so much that they would take more than ${maxOverlap} times the ${sizeBytes} bytes of the ` +
        "file; the model is damaged or hostile.",
    );
  }
}

/** `location` is relative and without `..`, see `externalReference`; here its parts are checked to be no links. */
function openRegular(where: string, folder: string, location: string): number {
  try {
    let path = folder;
    let regular = false;
    for (const part of location.split("/")) {
      path = join(path, part);
      const stat = lstatSync(path);
      if (stat.isSymbolicLink()) {
        throw new DgateError(
          "FORMAT",
          `${where} is or passes a link; copy the file into the model's folder.`,
        );
      }
      regular = stat.isFile();
    }
    // Opening a pipe would wait for its writer, and a device may do anything.
    if (!regular) throw new DgateError("FORMAT", `${where} is no regular file.`);
    // Between the check and the opening the last part may have become a link or a pipe.
    const descriptor = openSync(
      path,
      constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
    );
    if (fstatSync(descriptor).isFile()) return descriptor;
    closeSync(descriptor);
    throw new DgateError("FORMAT", `${where} is no regular file.`);
  } catch (cause) {
    if (cause instanceof DgateError) throw cause;
    throw new DgateError("IO", `${where} cannot be read (${reasonOf(cause)}).`, { cause });
  }
}

/** One read takes at most 2 GiB. */
function readRange(where: string, descriptor: number, offset: number, length: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(length);
  } catch (cause) {
    throw new DgateError("UNSUPPORTED", `${where}: there is no memory for a tensor of ${length} bytes.`, {
      cause,
    });
  }
  try {
    for (let at = 0; at < length; ) {
      const read = readSync(descriptor, bytes, at, Math.min(length - at, 2 ** 30), offset + at);
      if (read === 0) return bytes.subarray(0, at); // cut off meanwhile; the reader checks the length
      at += read;
    }
  } catch (cause) {
    throw new DgateError("IO", `${where} cannot be read (${reasonOf(cause)}).`, { cause });
  }
  return bytes;
}

/** `ENOENT: no such file or directory`, without the call and the path that Node appends. */
export function reasonOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split(", ", 1)[0]!;
}
