import { tileCols, tileRows } from "./gemm-code.ts";
import { type Native, nativeOf } from "./native.ts";
import { addressOf, type WasmBackend } from "./wasm-backend.ts";

/** One product `C = op(A)·op(B)` of row-major float32 matrices at byte addresses of the backend's memory. */
interface GemmCall {
  /** Rows of C. */
  readonly m: number;
  /** Columns of C. */
  readonly n: number;
  /** Inner size. */
  readonly k: number;
  readonly a: number;
  /** A is stored `[k, m]`. */
  readonly transposeA: boolean;
  readonly b: number;
  /** B is stored `[n, k]`. */
  readonly transposeB: boolean;
  readonly c: number;
  /** Add to C instead of overwriting it. */
  readonly accumulate?: boolean;
}

export type Gemm = (call: GemmCall) => void;

/** Inner sizes are cut into blocks of at most this many: a panel of B (8 columns) then stays in a 32 kB L1 cache. */
const innerBlock = 640;
/** Bytes of a block of A that is read once per panel of B: meant to stay in the L2 cache. */
const rowBlockBytes = 256 * 1024;

const tileSize = tileRows * tileCols;

/** The matrix product for a backend, or nothing where our own WebAssembly cannot run. */
export function gemmOf(backend: WasmBackend): Gemm | undefined {
  const native = nativeOf(backend);
  return native && ((call) => runGemm(backend, native, call));
}

function runGemm(backend: WasmBackend, { pack, multiply }: Native, call: GemmCall): void {
  const { m, n, k, a, transposeA, b, transposeB, c, accumulate = false } = call;
  if (m === 0 || n === 0) return;
  if (k === 0) {
    if (!accumulate) backend.wasm.HEAPU8.fill(0, c, c + 4 * m * n);
    return;
  }
  const blocks = Math.ceil(k / innerBlock);
  const inner = Math.ceil(k / blocks);
  const outer = Math.max(1, Math.floor(rowBlockBytes / (4 * inner * tileRows))) * tileRows;
  const scratch = backend.makeOutput([tileSize + inner * Math.ceil(n / tileCols) * tileCols], "float32");
  const tile = addressOf(backend, scratch);
  const panels = tile + 4 * tileSize;
  const [aRow, aInner] = transposeA ? [4, 4 * m] : [4 * k, 4];
  const [bInner, bCol] = transposeB ? [4, 4 * k] : [4 * n, 4];
  for (let p = 0; p < k; p += inner) {
    const depth = Math.min(inner, k - p);
    pack(n, depth, b + p * bInner, bInner, bCol, panels);
    const adding = accumulate || p > 0 ? 1 : 0;
    for (let i = 0; i < m; i += outer) {
      const from = a + i * aRow + p * aInner;
      const rows = Math.min(outer, m - i);
      multiply(rows, n, depth, from, aRow, aInner, panels, c + 4 * i * n, 4 * n, adding, tile);
    }
  }
  backend.disposeData(scratch.dataId);
}
