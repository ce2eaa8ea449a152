import { type DataType, type Graph, insertGates, int } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { readerSites } from "./reader-sites.ts";

/** A graph whose groups are scaled by inputs. */
export interface LiveGraph {
  /** Its gates have defaults of one. */
  readonly graph: Graph;
  /** The gate input of each block, `[groups]`, by the block's name. */
  readonly inputs: ReadonlyMap<string, string>;
}

/** Puts one gate per group into a graph. Blocks are those of the graph; the graph itself is not changed. */
export function liveGraph(graph: Graph, blocks: readonly GatedBlock[]): LiveGraph {
  const { sites, roles } = readerSites(blocks);
  const gated = insertGates(graph, sites, {
    depth: 2,
    initial: "ones",
    roles,
    sites: sites.map(({ name }) => name),
  });
  return { graph: gated, inputs: new Map(blocks.map(({ name }) => [name, `${name}.gate.1`])) };
}

/**
 * The same graph with gates that have to be fed, in single precision: onnxruntime's own `run` takes no feeds for inputs with a default, and half precision has
 * no array that all versions of Node and onnxruntime agree on.
 */
export function withOpenGates({ graph, inputs }: LiveGraph): Graph {
  const copy = graph.clone();
  for (const name of inputs.values()) {
    const gate = copy.value(name);
    if (!gate) continue;
    const shape = gate.data?.shape ?? [];
    const half = halfTypes.get(gate.data?.dtype ?? "float32");
    if (half === undefined) {
      gate.data = undefined;
      continue;
    }
    copy.undeclareInput(gate);
    copy.rename(gate, copy.freshName(`${name}.half`));
    const fed = copy.addInput(name, { dtype: "float32", shape });
    const { outputs } = copy.addNode({ op: "Cast", inputs: [fed], attributes: { to: int(half) } });
    copy.replaceUses(gate, outputs[0]!);
  }
  copy.sortNodes();
  return copy;
}

/** Types of gates that are fed as float32, as an ONNX file numbers them. */
const halfTypes: ReadonlyMap<DataType, number> = new Map([
  ["float16", 10],
  ["bfloat16", 16],
]);
