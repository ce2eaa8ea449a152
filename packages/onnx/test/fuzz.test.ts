import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DgateError, type RandomGenerator, randomGenerator } from "@dgate/core";
import { expect, test } from "vitest";
import { readModel } from "../src/io/read.ts";
import { writeModel } from "../src/io/write.ts";
import { dataFolder, onnxFiles } from "./files.ts";
import { smallModel } from "./small-model.ts";

const runs = process.env.DGATE_NIGHTLY === "1" ? 100_000 : 2000;
const seed = 20_261_122;

/** Valid files to start from: our own, and small real ones where they are there. */
const originals: readonly Uint8Array[] = [
  writeModel(smallModel()),
  ...onnxFiles(
    join(dataFolder, "onnx-structures"),
    "set DGATE_DATA; the fuzz test mutates our own model only.",
  )
    .map((file) => readFileSync(file))
    .filter((bytes) => bytes.length < 40_000),
];

/** A copy with one to three changes: a byte, a run of bytes, a cut, a doubling, a piece of another file, or a huge number. */
function mutate(bytes: Uint8Array, random: RandomGenerator): Uint8Array {
  let result = Buffer.from(bytes);
  const below = (limit: number): number => random.integer(limit);
  for (let changes = 1 + below(3); changes > 0 && result.length > 0; changes--) {
    // Most of the structure is not in the weights, which take most bytes: half of the changes hit the first tenth.
    const at = below(random.next() < 0.5 ? Math.ceil(result.length / 10) : result.length);
    const end = Math.min(result.length, at + 1 + below(64));
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
        result[at] = below(256);
        break;
      case 3:
      case 4:
      case 5:
        result[at]! ^= 1 << below(8);
        break;
      case 6:
        result = result.subarray(0, at);
        break;
      case 7:
        result = Buffer.concat([result.subarray(0, end), result.subarray(at)]);
        break;
      case 8: {
        const other = originals[below(originals.length)]!;
        const from = below(other.length);
        result = Buffer.concat([
          result.subarray(0, at),
          other.subarray(from, from + 64),
          result.subarray(end),
        ]);
        break;
      }
      default:
        result = Buffer.concat([
          result.subarray(0, at),
          Buffer.alloc(1 + below(9), 0xff),
          Buffer.of(1),
          result.subarray(at),
        ]);
    }
  }
  return result;
}

test(`${runs} mutated files are read or refused, quickly and in little memory, and what is read can be written`, () => {
  const random = randomGenerator(seed);
  const counts = { read: 0, refused: 0 };
  let slowest = 0;
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(originals[run % originals.length]!, random);
    const before = performance.now();
    try {
      const graph = readModel(bytes);
      const again = readModel(writeModel(graph));
      if (again.nodes().length !== graph.nodes().length) throw new Error(`run ${run}: nodes were lost`);
      counts.read += 1;
    } catch (error) {
      if (!(error instanceof DgateError) || !["FORMAT", "UNSUPPORTED"].includes(error.code)) {
        throw new Error(`seed ${seed}, run ${run}: ${String(error)}`, { cause: error });
      }
      counts.refused += 1;
    }
    slowest = Math.max(slowest, performance.now() - before);
  }
  expect(counts.read + counts.refused).toBe(runs);
  // Were all refused, the mutations would be too coarse to reach anything behind the first field.
  expect(counts.read).toBeGreaterThan(runs / 20);
  expect(counts.refused).toBeGreaterThan(runs / 20);
  expect(slowest).toBeLessThan(5000);
}, 1_800_000);
