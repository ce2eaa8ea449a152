/**
 * A WebAssembly assembler just large enough for the kernels here: integer addresses, float vectors, counted loops.
 * Opcodes from the WebAssembly core specification, binary format, with the SIMD and relaxed SIMD instructions.
 */

/** Instruction bytes; nesting is flattened when the module is written. */
export type Code = readonly (number | Code)[];

export type ValueType = "i32" | "f32" | "v128";

const valueTypes: { readonly [T in ValueType]: number } = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    // The sign is the last byte's bit 6.
    if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

/** Bytes of nested code in order. */
function flatten(code: Code): number[] {
  const bytes: number[] = [];
  const visit = (part: Code): void => {
    for (const item of part) {
      if (typeof item === "number") bytes.push(item);
      else visit(item);
    }
  };
  visit(code);
  return bytes;
}

const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const operands = (alignLog2: number, offset: number): number[] => [alignLog2, ...unsigned(offset)];

/** Instructions, as functions from operand code to code. Byte offsets are immediates of loads and stores. */
export const asm = {
  get: (local: number): Code => [0x20, unsigned(local)],
  set: (local: number, value: Code): Code => [value, 0x21, unsigned(local)],
  constant: (value: number): Code => [0x41, signed(value)],
  add: (a: Code, b: Code): Code => [a, b, 0x6a],
  sub: (a: Code, b: Code): Code => [a, b, 0x6b],
  mul: (a: Code, b: Code): Code => [a, b, 0x6c],
  and: (a: Code, b: Code): Code => [a, b, 0x71],
  equal: (a: Code, b: Code): Code => [a, b, 0x46],
  less: (a: Code, b: Code): Code => [a, b, 0x48],
  lessUnsigned: (a: Code, b: Code): Code => [a, b, 0x49],
  atMost: (a: Code, b: Code): Code => [a, b, 0x4c],
  /** `condition ? a : b`, both evaluated. */
  select: (condition: Code, a: Code, b: Code): Code => [a, b, condition, 0x1b],
  when: (condition: Code, then: Code, otherwise: Code = []): Code =>
    otherwise.length === 0
      ? [condition, 0x04, 0x40, then, 0x0b]
      : [condition, 0x04, 0x40, then, 0x05, otherwise, 0x0b],
  /** Runs the body while the condition, tested before each round, holds. */
  loopWhile: (condition: Code, body: Code): Code => [
    [0x02, 0x40, 0x03, 0x40],
    [condition, 0x45, 0x0d, 1],
    [body, 0x0c, 0],
    [0x0b, 0x0b],
  ],
  floatLoad: (address: Code): Code => [address, 0x2a, operands(2, 0)],
  floatStore: (address: Code, value: Code): Code => [address, value, 0x38, operands(2, 0)],
  floatAdd: (a: Code, b: Code): Code => [a, b, 0x92],
  floatZero: (): Code => [0x43, 0, 0, 0, 0],
  vectorLoad: (address: Code, offset = 0): Code => [address, simd(0x00), operands(2, offset)],
  vectorLoadSplat: (address: Code): Code => [address, simd(0x09), operands(2, 0)],
  vectorStore: (address: Code, value: Code, offset = 0): Code => [
    address,
    value,
    simd(0x0b),
    operands(2, offset),
  ],
  vectorZero: (): Code => [simd(0x0c), Array.from({ length: 16 }, () => 0)],
  vectorAdd: (a: Code, b: Code): Code => [a, b, simd(0xe4)],
  vectorMul: (a: Code, b: Code): Code => [a, b, simd(0xe6)],
  /** `a·b + c` with one rounding or two, as the machine likes (relaxed SIMD). */
  vectorMulAdd: (a: Code, b: Code, c: Code): Code => [a, b, c, simd(0x105)],
} as const;

/** `local += by` */
export function increase(local: number, by: Code): Code {
  return asm.set(local, asm.add(asm.get(local), by));
}

/** `min(value, limit)` of signed integers. */
export function smaller(value: Code, limit: Code): Code {
  return asm.select(asm.less(value, limit), value, limit);
}

/** `for (local = 0; local < end; local += step) body` */
export function forEach(local: number, end: Code, step: number, body: Code): Code {
  return [
    asm.set(local, asm.constant(0)),
    asm.loopWhile(asm.less(asm.get(local), end), [body, increase(local, asm.constant(step))]),
  ];
}

/** One exported function; parameters are i32 and numbered first, then the locals as they were asked for. */
export interface WasmFunction {
  readonly name: string;
  readonly parameterCount: number;
  readonly locals: readonly ValueType[];
  readonly body: Code;
}

/** Hands out local numbers while a function's body is written. */
export class Locals {
  readonly types: ValueType[] = [];
  private readonly parameterCount: number;

  constructor(parameterCount: number) {
    this.parameterCount = parameterCount;
  }

  take(type: ValueType): number {
    this.types.push(type);
    return this.parameterCount + this.types.length - 1;
  }
}

function section(id: number, items: readonly Code[]): number[] {
  const content = [...unsigned(items.length), ...flatten(items)];
  return [id, ...unsigned(content.length), ...content];
}

/** "\0asm", version 1. */
const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** Bytes of a module that imports the memory `env.memory` and exports the functions. */
export function assemble(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameterCount }) => [
    0x60,
    unsigned(parameterCount),
    Array.from({ length: parameterCount }, () => valueTypes.i32),
    0,
  ]);
  const memory = [text("env"), text("memory"), 0x02, 0x00, 0x00];
  const exported = functions.map(({ name }, index) => [text(name), 0x00, unsigned(index)]);
  const bodies = functions.map(({ locals, body }) => {
    const declared = locals.map((type) => [1, valueTypes[type]]);
    const bytes = [...unsigned(locals.length), ...flatten(declared), ...flatten(body), 0x0b];
    return [unsigned(bytes.length), bytes];
  });
  return Uint8Array.from([
    ...magic,
    ...section(1, types),
    ...section(2, [memory]),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(7, exported),
    ...section(10, bodies),
  ]);
}
