import type { Graph, Value } from "../graph/graph.ts";
import { writeModel } from "../io/write.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { openRunner, type RunnerOptions } from "../runtime/open-runner.ts";
import { type Feed, numbersOf } from "../runtime/run-tensor.ts";
import type { Activation } from "./samples.ts";

/** A model that is run for some of its inner values. */
export interface Probe {
  /** The values by name, from one run. */
  run(feeds: Readonly<Record<string, Feed>>): Promise<ReadonlyMap<string, Activation>>;
  dispose(): Promise<void>;
}

/**
 * Loads the part of a model that leads to some of its values; it takes the same feeds as the model.
 *
 * @throws DgateError as `openRunner` does
 */
export async function openProbe(
  graph: Graph,
  values: readonly Value[],
  options: RunnerOptions,
): Promise<Probe> {
  const part = graph.clone();
  const names = [...new Set(values.map(({ name }) => name))];
  // An input may not be an output as it is, and an inner value may have a wrong declared type.
  const outputs = names.map((name) => {
    return part.addNode({ op: "Identity", inputs: [part.value(name)] }).outputs[0]!;
  });
  part.setOutputs(outputs);
  removeDeadCode(part);
  const runner = await openRunner(writeModel(part), options);
  return {
    async run(feeds) {
      const results = await runner.run(feeds);
      return new Map(
        names.map((name, i) => {
          const tensor = results[outputs[i]!.name]!;
          return [name, { shape: tensor.shape, numbers: numbersOf(tensor) }];
        }),
      );
    },
    dispose: () => runner.dispose(),
  };
}
