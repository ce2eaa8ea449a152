// The files of latency-table.bench.mjs: a model as it is, pruned, and each of them fused and in int8.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fuse, quantizeDynamic, writeModel } from "@dgate/onnx";
import { openHeadGates } from "@dgate/transformers";

/**
 * Writes the variants of a model.
 *
 * @param network name, model folder, tokens of the sequence that it is timed on
 * @param target folder for the ONNX files
 * @returns name, path, size and multiply–adds of each file, the dense model first
 */
export async function writeVariants({ name, folder, tokens }, target) {
  const gates = await openHeadGates(folder, { sites: ["heads", "ffn"], dtype: "fp32" });
  const [{ source, graph: dense }] = gates.internals.parts;
  const dims = { batch_size: 1, sequence_length: tokens };
  const pruned = await gates.prune({ keep: 0.5, scores: await gates.importance("l2"), dims });
  const [{ graph: small, before, after }] = pruned.files;
  await gates.dispose();
  await gates.pipeline.dispose();
  const floats = [
    { label: "dense", graph: dense, costs: before },
    { label: "dense, fused", graph: fused(dense), costs: before },
    { label: "pruned", graph: small, costs: after },
    { label: "pruned, fused", graph: fused(small), costs: after },
  ];
  const all = [
    ...floats,
    ...floats.map(({ label, graph, costs }) => ({
      label: `${label}, int8`,
      graph: quantizeDynamic(graph).graph,
      costs,
    })),
  ];
  const files = [];
  for (const [i, { label, graph, costs }] of all.entries()) {
    const file = `${name.replaceAll(/\W/g, "-")}-${i}.onnx`;
    // Of the dense model the file itself, as onnxruntime gets it from the hub.
    const bytes =
      graph === source.graph ? await gates.internals.model.files.read(source.path) : writeModel(graph);
    await writeFile(join(target, file), bytes);
    files.push({
      label,
      file,
      sizeBytes: bytes.length,
      parameters: costs.parameters,
      macs: costs.macs,
    });
  }
  return { name, tokens, inputs: dense.requiredInputs.map(({ name: input }) => input), files };
}

/** As `save` writes it for versions 3 and 4 of transformers.js. */
const fused = (graph) => fuse(graph).graph;
