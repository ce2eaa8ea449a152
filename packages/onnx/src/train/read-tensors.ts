import { Graph } from "../graph/graph.ts";
import { isNode, type OrtTensor } from "../runtime/ort-module.ts";
import type { Engine } from "./engine.ts";
import type { OrtTensors } from "./updates.ts";

/** Copies float32 tensors from wherever they lie. */
export async function readTensors(
  engine: Pick<Engine, "open">,
  tensors: ReadonlyMap<string, OrtTensor>,
): Promise<Map<string, Float32Array>> {
  const here = isNode() ? await fetched(engine, tensors) : tensors;
  const arrays = new Map<string, Float32Array>();
  for (const [name, tensor] of here) {
    const data = tensor.getData ? await tensor.getData() : tensor.data;
    arrays.set(name, (data as Float32Array).slice()); // float32, as the caller says
  }
  return arrays;
}

/**
 * onnxruntime-node keeps outputs on the device and takes them as inputs, but has no way to read them: `getData` ends the process
 * (1.30). So a session copies them.
 */
async function fetched(
  engine: Pick<Engine, "open">,
  tensors: ReadonlyMap<string, OrtTensor>,
): Promise<ReadonlyMap<string, OrtTensor>> {
  const away = [...tensors].filter(([, { location = "cpu" }]) => location !== "cpu");
  if (away.length === 0) return tensors;
  const graph = new Graph("copy", [["", 18]]);
  const feeds: OrtTensors = {};
  away.forEach(([, tensor], i) => {
    const type = { dtype: "float32", shape: tensor.dims } as const;
    const value = graph.addInput(`device.${i}`, type);
    const copy = graph.addValue(`host.${i}`, type);
    graph.addNode({ op: "Identity", inputs: [value], outputs: [copy] });
    graph.addOutput(copy);
    feeds[value.name] = tensor;
  });
  const session = await engine.open(graph);
  try {
    const copies = await session.run(feeds);
    const names = new Map(away.map(([name], i) => [name, copies[`host.${i}`]!]));
    return new Map([...tensors].map(([name, tensor]) => [name, names.get(name) ?? tensor]));
  } finally {
    await session.release();
  }
}
