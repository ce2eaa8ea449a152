import { DgateError } from "@dgate/core";

/** Wire types of protobuf that occur in ONNX files; groups (3 and 4) do not. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Nested messages that are followed; protobuf's own readers stop at the same number. */
export const maxDepth = 100;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the fields of one protobuf message in a range of a file without copying: contents are views. Call `next` until it
 * gives false; after each true read the field with the method for its type, or leave it.
 *
 *     while (reader.next()) {
 *       if (reader.field === 1) name = reader.string();
 *       else rest.push(reader.raw());
 *     }
 *
 * Every length is checked against the range and every number against its type; the methods throw DgateError `FORMAT` with
 * the place and the offset in the file.
 */
export class WireReader {
  /** Number of the present field. */
  field = 0;
  readonly #view: DataView;
  readonly #end: number;
  readonly #name: string;
  readonly #parent: WireReader | undefined;
  readonly #depth: number;
  #wire = 0;
  /** Starts of the present field's tag and value, and its end. */
  #tag: number;
  #value: number;
  #next: number;
  /** The varint read last, in two halves of 32 bits, and where it ended. */
  #low = 0;
  #high = 0;
  #after = 0;

  private constructor(view: DataView, start: number, end: number, name: string, parent?: WireReader) {
    this.#view = view;
    this.#tag = this.#value = this.#next = start;
    this.#end = end;
    this.#name = name;
    this.#parent = parent;
    this.#depth = parent ? parent.#depth + 1 : 0;
  }

  /** A reader of a whole file; `name` says what it is in messages. */
  static of(bytes: Uint8Array, name: string): WireReader {
    return new WireReader(
      new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      0,
      bytes.length,
      name,
    );
  }

  /** Goes to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#next >= this.#end) return false;
    this.#tag = this.#value = this.#next;
    this.#varint(this.#tag, this.#end);
    this.field = this.#low >>> 3;
    this.#wire = this.#low & 7;
    if (this.#high !== 0 || this.field === 0) this.fail("a field number is not valid; is this an ONNX file?");
    this.#value = this.#after;
    this.#next = this.#endOfValue();
    return true;
  }

  /** An integer within ±2^53. */
  integer(): number {
    this.#expect(wireTypes.varint);
    this.#varint(this.#value, this.#next);
    const value = (this.#high | 0) * 2 ** 32 + this.#low;
    if (!Number.isSafeInteger(value)) this.fail(`the number ${value} is beyond ±2^53`);
    return value;
  }

  /** An integer within 0 and `limit`, such as a size or a code. */
  count(limit: number): number {
    const value = this.integer();
    if (value < 0 || value > limit) this.fail(`the number ${value} is not within 0 and ${limit}`);
    return value;
  }

  /**
   * Integers of a repeated field, packed or single, as halves of 32 bits: the value is low + 2^32 · high, and negative if
   * the top bit of `high` is set.
   */
  integers(each: (low: number, high: number) => void): void {
    if (this.#wire !== wireTypes.bytes) this.#expect(wireTypes.varint);
    let at = this.#value;
    while (at < this.#next) {
      this.#varint(at, this.#next);
      at = this.#after;
      each(this.#low, this.#high);
    }
  }

  float(): number {
    this.#expect(wireTypes.fixed32);
    return this.#view.getFloat32(this.#value, true);
  }

  /** Little-endian numbers of `width` bytes of a repeated field, packed or single: a view on the file. */
  fixed(width: 4 | 8): Uint8Array {
    if (this.#wire !== wireTypes.bytes) this.#expect(width === 4 ? wireTypes.fixed32 : wireTypes.fixed64);
    const length = this.#next - this.#value;
    if (length % width !== 0) this.fail(`${length} bytes are no whole count of ${width}-byte numbers`);
    return this.#range(this.#value, this.#next);
  }

  /** The content of a length-delimited field: a view on the file. */
  bytes(): Uint8Array {
    this.#expect(wireTypes.bytes);
    return this.#range(this.#value, this.#next);
  }

  string(): string {
    try {
      return utf8.decode(this.bytes());
    } catch (cause) {
      if (cause instanceof DgateError) throw cause;
      return this.fail("a text is not valid UTF-8");
    }
  }

  /** A reader of the message in the present field. */
  message(name: string): WireReader {
    this.#expect(wireTypes.bytes);
    if (this.#depth >= maxDepth) this.fail(`messages are nested deeper than ${maxDepth}`);
    return new WireReader(this.#view, this.#value, this.#next, name, this);
  }

  /** The present field with its tag, as it is in the file: a view. */
  raw(): Uint8Array {
    return this.#range(this.#tag, this.#next);
  }

  /** Throws DgateError `FORMAT` for the present field. */
  fail(what: string): never {
    throw new DgateError("FORMAT", `${this.#path()}: ${what} (byte ${this.#tag}, field ${this.field}).`);
  }

  #path(): string {
    return this.#parent ? `${this.#parent.#path()} > ${this.#name}` : this.#name;
  }

  #range(start: number, end: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, end - start);
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) this.fail(`expected wire type ${wire}, got ${this.#wire}`);
  }

  #endOfValue(): number {
    let end: number;
    if (this.#wire === wireTypes.varint) {
      this.#varint(this.#value, this.#end);
      return this.#after;
    }
    if (this.#wire === wireTypes.bytes) {
      this.#varint(this.#value, this.#end);
      this.#value = this.#after;
      end = this.#after + this.#high * 2 ** 32 + this.#low;
    } else if (this.#wire === wireTypes.fixed32) end = this.#value + 4;
    else if (this.#wire === wireTypes.fixed64) end = this.#value + 8;
    else return this.fail(`wire type ${this.#wire} is not used by ONNX; is this an ONNX file?`);
    if (end > this.#end) {
      this.fail(
        `${end - this.#value} bytes are announced, ${this.#end - this.#value} are left; the file is cut off or damaged`,
      );
    }
    return end;
  }

  /** Reads a varint of at most 10 bytes that ends before `end`. */
  #varint(at: number, end: number): void {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (at + i >= end) return this.fail("a number is cut off");
      const byte = this.#view.getUint8(at + i);
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        this.#after = at + i + 1;
        return;
      }
    }
    this.fail("a number has more than 10 bytes");
  }
}
