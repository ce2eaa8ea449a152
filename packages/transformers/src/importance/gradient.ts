import { DgateError, randomGenerator } from "@dgate/core";
import {
  type Batch,
  type Graph,
  gradients,
  numbersOf,
  openRunner,
  type Runner,
  trainingForm,
} from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor } from "../data/feeds.ts";
import { liveGraph } from "../gates/live-graph.ts";
import type { Scores } from "../prune/choose-groups.ts";
import { giveWay } from "../stop-if-aborted.ts";
import type { ExampleLoss } from "./prediction-loss.ts";
import { checkWithoutBranches, fedTo, type ScoringContext } from "./scoring-context.ts";

/** What `gradientScores` is given beside model and data. */
export interface GradientContext extends ScoringContext {
  readonly loss: ExampleLoss;
}

/**
 * The expected sensitivity of a loss to the gates ξ of groups, at ξ = 1:
 *
 *     I_h = E_x | ∂L(x)/∂ξ_h |
 *
 * Michel, Levy, Neubig: Are Sixteen Heads Really Better than One? NeurIPS 2019, equation 2. ξ_h scales what the group gives (see
 * `readerSites`). The absolute value is of one example at a time, so examples are run one by one; nothing is padded.
 *
 * @throws DgateError `UNSUPPORTED` for graphs with branches (see `firstStep`) and operators without derivative, `DATA` if no example has the loss or a gradient is not
 * finite, `NO_MATCH` if the loss does not depend on a block, `ABORTED`
 */
export async function gradientScores(
  graph: Graph,
  blocks: readonly GatedBlock[],
  examples: readonly EncodedExample[],
  { loss, engine, seed, signal, onExamples }: GradientContext,
): Promise<Scores> {
  checkWithoutBranches(graph, "gradient");
  const taken = examples.filter((example) => loss.takes(example));
  if (taken.length === 0) {
    throw new DgateError(
      "DATA",
      "importance: no example has a loss; next-token needs texts of two tokens, labels need labels.",
    );
  }
  const { backward, outputs } = gateGradients(graph, blocks, loss);
  const scores = new Map(blocks.map(({ name, groups }) => [name, new Float64Array(groups)]));
  const random = randomGenerator(seed);
  const shapes = loss.needsShape
    ? new OutputShapes(await openRunner(loss.prepare(graph), engine))
    : undefined;
  let runner: Runner | undefined;
  try {
    runner = await openRunner(backward, engine);
    for (const example of taken) {
      await giveWay(signal, "importance");
      const { feeds } = feedsFor(graph, [example]);
      const shape = (await shapes?.of(feeds)) ?? [];
      const results = await runner.run({
        ...fedTo(runner, feeds),
        ...loss.feeds(example, shape, () => random.normal()),
      });
      for (const [name, output] of outputs)
        addSizes(scores.get(name)!, numbersOf(results[output]!), taken.length, name, example);
      onExamples?.(1);
    }
    return scores;
  } finally {
    await runner?.dispose();
    await shapes?.dispose();
  }
}

/** The backward pass to a gate per group, and its output for each block. */
function gateGradients(
  graph: Graph,
  blocks: readonly GatedBlock[],
  loss: ExampleLoss,
): { readonly backward: Graph; readonly outputs: ReadonlyMap<string, string> } {
  const live = liveGraph(graph, blocks);
  const gates = [...live.inputs.values()];
  const form = trainingForm(loss.prepare(live.graph), gates);
  const backward = gradients(form, { loss: loss.emit(form), wrt: gates });
  // They stay at one: as constants the runtime folds them into the weights.
  for (const name of gates) {
    const gate = backward.value(name);
    if (gate) backward.undeclareInput(gate);
  }
  return { backward, outputs: new Map([...live.inputs].map(([block, gate]) => [block, `${gate}.gradient`])) };
}

function addSizes(
  scores: Float64Array,
  gradient: ArrayLike<number | bigint>,
  count: number,
  block: string,
  { index }: EncodedExample,
): void {
  scores.forEach((_, group) => {
    const size = Math.abs(Number(gradient[group]));
    if (!Number.isFinite(size)) {
      throw new DgateError(
        "DATA",
        `importance: the gradient of example ${index} at group ${group} of "${block}" is ${Number(gradient[group])}; leave the example out.`,
      );
    }
    scores[group]! += size / count;
  });
}

/** Shapes of a model's only output, found by running it once for each form of inputs. */
class OutputShapes {
  readonly #runner: Runner;
  readonly #known = new Map<string, readonly number[]>();

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  async of(feeds: Batch): Promise<readonly number[]> {
    const key = JSON.stringify(Object.values(feeds).map(({ shape }) => shape));
    const output = this.#runner.outputs[0]!.name;
    const shape = this.#known.get(key) ?? (await this.#runner.run(fedTo(this.#runner, feeds)))[output]!.shape;
    this.#known.set(key, shape);
    return shape;
  }

  dispose(): Promise<void> {
    return this.#runner.dispose();
  }
}
