import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Graph } from "../src/graph/graph.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { ReadContext } from "../src/io/read-context.ts";
import { readTensor } from "../src/io/read-tensor.ts";
import { WireReader } from "../src/proto/wire-reader.ts";

/**
 * Inputs that the ONNX backend suite stores beside a model: TensorProto files in the order of the graph's inputs. `undefined` where
 * an input is no tensor or a file is not there.
 */
export function storedFeeds(file: string, graph: Graph): Record<string, Tensor> | undefined {
  const feeds: Record<string, Tensor> = {};
  for (const [i, { name, type }] of graph.requiredInputs.entries()) {
    const path = join(dirname(file), "test_data_set_0", `input_${i}.pb`);
    if (!type || !existsSync(path)) return undefined;
    const reader = WireReader.of(readFileSync(path), basename(path));
    feeds[name] = readTensor(reader, new ReadContext(1000, undefined), false).tensor;
  }
  return feeds;
}
