import { DgateError } from "@dgate/core";
import type { WireReader } from "../proto/wire-reader.ts";
import { entryFields } from "./fields.ts";
import type { ExternalResolver } from "./external-data.ts";

/** What one reading of a file shares: the way to external data, and the budget. */
export class ReadContext {
  readonly external: ExternalResolver | undefined;
  readonly #limit: number;
  #items = 0;
  /** Whether content of another file was read. */
  usesExternal = false;

  constructor(limit: number, external: ExternalResolver | undefined) {
    this.#limit = limit;
    this.external = external;
  }

  /**
   * Counts something that takes more memory here than in the file: two bytes of a hostile file may be a whole node.
   * @throws DgateError `FORMAT` past the limit.
   */
  count(reader: WireReader, items = 1): void {
    this.#items += items;
    if (this.#items > this.#limit) {
      reader.fail(
        `the file has more than ${this.#limit} nodes, values, attributes and texts; raise maxItems if you trust it`,
      );
    }
  }
}

/** Fields that are carried along unread, in file order. Neighbours in the file make one piece. */
export class OpaqueFields {
  readonly #parts: Uint8Array[] = [];

  add(reader: WireReader, context: ReadContext): void {
    const raw = reader.raw();
    const last = this.#parts.at(-1);
    if (last && last.byteOffset + last.length === raw.byteOffset) {
      this.#parts[this.#parts.length - 1] = new Uint8Array(
        last.buffer,
        last.byteOffset,
        last.length + raw.length,
      );
    } else {
      context.count(reader);
      this.#parts.push(raw);
    }
  }

  get parts(): readonly Uint8Array[] {
    return this.#parts;
  }

  /** All of them as one piece; undefined if there are none. */
  joined(): Uint8Array | undefined {
    return this.#parts.length === 0 ? undefined : concatBytes(this.#parts);
  }
}

/** The pieces one after the other; a single piece as it is. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Adds a StringStringEntryProto to a map. */
export function readEntry(reader: WireReader, into: Map<string, string>): void {
  let key = "";
  let value = "";
  while (reader.next()) {
    if (reader.field === entryFields.key) key = reader.string();
    else if (reader.field === entryFields.value) value = reader.string();
  }
  into.set(key, value);
}

/** Runs something that knows nothing of files and gives its `SHAPE` errors the place in the file, as `FORMAT`. */
export function placed<T>(reader: WireReader, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof DgateError && error.code === "SHAPE")
      return reader.fail(error.message.replace(/\.$/, ""));
    throw error;
  }
}
