import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import type { Batch } from "../recover/batches.ts";
import { toOrt } from "../runtime/run-tensor.ts";
import { toSinglePrecision } from "../training-form/single-precision.ts";
import type { Engine } from "./engine.ts";
import { teacherName } from "./loss.ts";
import type { OrtTensors } from "./updates.ts";

/** The dense model, which gives what the trained one is compared with. */
export interface Teacher {
  /** Inputs of the training graph that it gives. */
  readonly gives: ReadonlySet<string>;
  run(batch: Batch): Promise<OrtTensors>;
  dispose(): Promise<void>;
}

/**
 * Opens the dense model for the outputs that a loss compares with; `undefined` if it compares with none.
 * @throws DgateError `OPTION` if it has no such output
 */
export async function openTeacher(
  engine: Engine,
  dense: Graph,
  outputs: readonly string[],
): Promise<Teacher | undefined> {
  if (outputs.length === 0) return undefined;
  const graph = dense.clone();
  const names = graph.outputs.map(({ name }) => name);
  const missing = outputs.find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new DgateError(
      "OPTION",
      `train: the teacher has no output "${missing}"; it has ${names.join(", ")}.`,
    );
  graph.setOutputs(outputs.map((name) => graph.value(name)!));
  removeDeadCode(graph);
  toSinglePrecision(graph); // as the training graph is
  for (const input of graph.requiredInputs) if (graph.uses(input).length === 0) graph.removeInput(input);
  const session = await engine.open(graph);
  const types = new Map(graph.requiredInputs.map(({ name, type }) => [name, type?.dtype]));
  return {
    gives: new Set(outputs.map(teacherName)),
    async run(batch) {
      const feeds: OrtTensors = {};
      for (const [name, dtype] of types) {
        const feed = batch[name];
        if (!feed)
          throw new DgateError("OPTION", `train: the batch lacks "${name}", which the dense model takes.`);
        feeds[name] = toOrt(engine.ort, name, feed, dtype);
      }
      const results = await session.run(feeds);
      return Object.fromEntries(outputs.map((name) => [teacherName(name), results[name]!]));
    },
    dispose: () => session.release(),
  };
}
