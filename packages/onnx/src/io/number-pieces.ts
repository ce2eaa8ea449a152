import type { Tensor } from "../graph/tensor.ts";
import { elementBits, elementCount } from "./element-types.ts";
import { contentOf, type NumberArray, readNumbers } from "./tensor-data.ts";

/** Elements of a piece; a multiple of 8, so that pieces of packed types begin at whole bytes. */
const pieceLength = 2 ** 16;

/**
 * The elements of a tensor as `readNumbers` gives them, in pieces: for one pass over a large constant without a copy of it.
 * A piece is only good until the next one is asked for.
 *
 * @throws DgateError as `readNumbers`
 */
export function* numberPieces(tensor: Tensor): Generator<NumberArray, void, undefined> {
  const { dtype } = tensor;
  const count = elementCount(tensor.shape);
  const content = contentOf(tensor);
  const scratch = new Float32Array(dtype === "float32" ? Math.min(count, pieceLength) : 0);
  const target = new Uint8Array(scratch.buffer);
  for (let start = 0; start < count; start += pieceLength) {
    const length = Math.min(pieceLength, count - start);
    const bytes = content.subarray(
      (start * elementBits[dtype]) / 8,
      Math.ceil(((start + length) * elementBits[dtype]) / 8),
    );
    if (dtype === "float32") {
      target.set(bytes);
      yield length === scratch.length ? scratch : scratch.subarray(0, length);
    } else {
      yield readNumbers({ dtype, shape: [length], bytes });
    }
  }
}
