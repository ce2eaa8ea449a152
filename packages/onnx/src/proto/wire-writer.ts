import { wireTypes } from "./wire-reader.ts";

/** Contents from this size on are passed on by reference until `finish` copies them once. */
const largeBytes = 1024;

/** Writes the fields of one protobuf message. A nested message is a writer of its own, given to `message`. */
export class WireWriter {
  #parts: Uint8Array[] = [];
  #tail = new Uint8Array(64);
  #used = 0;
  #flushed = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#flushed + this.#used;
  }

  /** A varint field; a negative number takes its 64-bit two's complement. */
  integer(field: number, value: number | bigint): void {
    this.#tag(field, wireTypes.varint);
    this.#varint(value);
  }

  float(field: number, value: number): void {
    this.#tag(field, wireTypes.fixed32);
    this.#reserve(4);
    new DataView(this.#tail.buffer).setFloat32(this.#used, value, true);
    this.#used += 4;
  }

  bytes(field: number, content: Uint8Array): void {
    this.#tag(field, wireTypes.bytes);
    this.#varint(content.length);
    this.raw(content);
  }

  string(field: number, text: string): void {
    this.bytes(field, new TextEncoder().encode(text));
  }

  /** A packed repeated field of integers; nothing for an empty list. */
  packedIntegers(field: number, values: readonly (number | bigint)[]): void {
    if (values.length === 0) return;
    const content = new WireWriter();
    for (const value of values) content.#varint(value);
    this.message(field, content);
  }

  /** A packed repeated field of floats; nothing for an empty list. */
  packedFloats(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const content = new DataView(new ArrayBuffer(4 * values.length));
    values.forEach((value, i) => content.setFloat32(4 * i, value, true));
    this.bytes(field, new Uint8Array(content.buffer));
  }

  message(field: number, content: WireWriter): void {
    this.#tag(field, wireTypes.bytes);
    this.#varint(content.length);
    for (const part of content.parts()) this.raw(part);
  }

  /** Whole fields as they are in a file. */
  raw(fields: Uint8Array): void {
    if (fields.length >= largeBytes) {
      this.#flush();
      this.#parts.push(fields);
      this.#flushed += fields.length;
      return;
    }
    this.#reserve(fields.length);
    this.#tail.set(fields, this.#used);
    this.#used += fields.length;
  }

  /** The content so far in pieces, which are not to be changed. */
  parts(): readonly Uint8Array[] {
    this.#flush();
    return this.#parts;
  }

  /** The whole message in one array. */
  finish(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts()) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #varint(value: number | bigint): void {
    const big = typeof value === "bigint";
    let low = big ? Number(BigInt.asUintN(32, value)) : value >>> 0;
    let high = big ? Number(BigInt.asUintN(32, value >> 32n)) : Math.floor(value / 2 ** 32) >>> 0;
    this.#reserve(10);
    while (high > 0 || low > 0x7f) {
      this.#tail[this.#used++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#tail[this.#used++] = low;
  }

  #reserve(count: number): void {
    if (this.#used + count <= this.#tail.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#tail.length, this.#used + count));
    larger.set(this.#tail.subarray(0, this.#used));
    this.#tail = larger;
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#parts.push(this.#tail.subarray(0, this.#used));
    this.#flushed += this.#used;
    this.#tail = new Uint8Array(64);
    this.#used = 0;
  }
}
