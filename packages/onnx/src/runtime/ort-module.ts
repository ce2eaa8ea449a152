import { DgateError } from "@dgate/core";

/** A tensor of an onnxruntime package, as far as it is used here. */
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView | readonly string[];
  /** `cpu`, or where else it lies (onnxruntime 1.16 and later). */
  readonly location?: string;
  dispose?(): void;
  /** The content of a tensor that lies on a device (onnxruntime 1.16 and later). */
  getData?(): Promise<ArrayBufferView | readonly string[]>;
}

/** What a session says about one input or output (onnxruntime 1.22 and later). */
export interface OrtValueInfo {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}

/** An inference session of an onnxruntime package, as far as it is used here. */
export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata?: readonly OrtValueInfo[];
  readonly outputMetadata?: readonly OrtValueInfo[];
  /** @param fetches outputs wanted, each with a tensor to write into or `null`; all outputs if left out */
  run(
    feeds: Record<string, OrtTensor>,
    fetches?: Record<string, OrtTensor | null>,
  ): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** Options of `InferenceSession.create` that are set here; callers may add any other. */
export type OrtSessionOptions = Readonly<Record<string, unknown>>;

/**
 * The part of onnxruntime-node and onnxruntime-web that is used here. Written down as an interface, so that every version
 * from 1.17 on fits and this package's types need neither of them.
 */
export interface OrtModule {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options?: OrtSessionOptions): Promise<OrtSession>;
  };
  readonly env: {
    readonly versions?: { readonly common?: string; readonly node?: string };
    readonly wasm: { numThreads?: number; wasmPaths?: unknown };
    logLevel?: string;
  };
}

/** True in Node, Bun, Deno and Electron's main process; false in pages and workers. */
export function isNode(): boolean {
  return typeof process === "object" && typeof process.versions?.node === "string";
}

/**
 * Imports an onnxruntime package of the user.
 * @throws DgateError `MISSING_PACKAGE` with the install line if it is not there or does not load.
 */
export async function importOrt(name: string, load: () => Promise<unknown>): Promise<OrtModule> {
  try {
    return unwrap(await load());
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const absent = text.includes(name) && /cannot find|not found|failed to resolve/i.test(text);
    const why = absent ? "is not installed" : `does not load (${firstLine(text)})`;
    throw new DgateError("MISSING_PACKAGE", `${name} ${why}; install it with: npm install ${name}`, {
      cause,
    });
  }
}

/** A runtime that may be installed. */
export interface OrtCandidate<Name extends string> {
  readonly runtime: Name;
  readonly name: string;
  readonly load: () => Promise<unknown>;
}

/**
 * The first of several onnxruntime packages that is installed and loads.
 * @throws DgateError `MISSING_PACKAGE` with the install line of each, if none does.
 */
export async function importFirstOrt<Name extends string>(
  candidates: readonly OrtCandidate<Name>[],
): Promise<{ readonly runtime: Name; readonly ort: OrtModule }> {
  const failures: unknown[] = [];
  for (const { runtime, name, load } of candidates) {
    try {
      return { runtime, ort: await importOrt(name, load) };
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  throw new DgateError(
    "MISSING_PACKAGE",
    `no onnxruntime to run the model in: ${failures.map((error) => (error as Error).message).join(", or ")}`,
    { cause: failures[0] },
  );
}

/** CommonJS packages come as `{ default: module }` from some loaders. */
function unwrap(module: unknown): OrtModule {
  const found = module as OrtModule & { readonly default?: OrtModule }; // checked by the property reads below
  return found.InferenceSession ? found : found.default!;
}

/** The first line of a message: onnxruntime's errors carry whole stacks of C++. */
export function firstLine(text: string): string {
  const line = text.split("\n", 1)[0]!;
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
