import { DgateError } from "@dgate/core";
import {
  type CoupledSlice,
  type Graph,
  inferShapes,
  numbersOf,
  openRunner,
  readNumbers,
  type Tensor,
} from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor } from "../data/feeds.ts";
import type { Scores } from "../prune/choose-groups.ts";
import { giveWay } from "../stop-if-aborted.ts";
import { indicesOf, readersOf, siteForm, weightOf } from "./group-slices.ts";
import { addSquareSums, type ReaderInput, readerInputs } from "./reader-inputs.ts";
import { checkWithoutBranches, fedTo, type ScoringContext } from "./scoring-context.ts";

/** What `wandaScores` is given beside model and data. */
export interface WandaContext extends ScoringContext {
  /** Most examples of a run. */
  readonly batchSize: number;
}

/**
 * Weights times activations, summed over a group:
 *
 *     S_j = Σ_{i ∈ j} Σ_k |W_ik| · ‖X_i‖₂      ‖X_i‖₂ = √Σ_t x_ti²
 *
 * W is the weight that reads the groups: the output projection of heads, the second feed-forward weight of neurons, with i its rows; of a
 * residual branch its last weight, all rows. x_ti is what row i reads at token t of the calibration data, and the sum goes over all tokens of
 * all examples. Sun, Liu, Bair, Kolter: A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024 (arXiv 2306.11695), whose
 * score |W_ik|·‖X_i‖₂ is of a single weight. Examples of one length run together, so that no padding is counted.
 *
 * @throws DgateError `UNSUPPORTED` for graphs with branches (see `firstStep`) and a layer of which it is not known what it sums over, `GROUP` for blocks of another graph, `DATA`
 * for activations that are not finite, `ABORTED`
 */
export async function wandaScores(
  graph: Graph,
  blocks: readonly GatedBlock[],
  examples: readonly EncodedExample[],
  { engine, batchSize, signal, onExamples }: WandaContext,
): Promise<Scores> {
  checkWithoutBranches(graph, "wanda");
  const { normal, runnable } = siteForm(graph);
  const readers = readersOfBlocks(normal, blocks);
  runnable.setOutputs([]);
  const outputs = new Map<string, string>();
  for (const { input } of readers) {
    const key = keyOf(input);
    if (!outputs.has(key)) outputs.set(key, addSquareSums(runnable, input));
  }
  const sums = new Map<string, Float64Array>();
  const runner = await openRunner(runnable, engine);
  try {
    for (const batch of ofEqualLength(examples, batchSize)) {
      await giveWay(signal, "importance");
      const results = await runner.run(fedTo(runner, feedsFor(graph, batch).feeds));
      for (const [key, output] of outputs) addTo(sums, key, numbersOf(results[output]!));
      onExamples?.(batch.length);
    }
  } finally {
    await runner.dispose();
  }
  const scores = new Map(blocks.map(({ name, groups }) => [name, new Float64Array(groups)]));
  for (const { block, slice, input } of readers) {
    addReader(scores.get(block.name)!, weightOf(normal, slice.tensor), slice, input, sums.get(keyOf(input))!);
  }
  return scores;
}

/** A weight that reads groups, where it is used. */
interface Reader {
  readonly block: GatedBlock;
  readonly slice: CoupledSlice;
  readonly input: ReaderInput;
}

function readersOfBlocks(normal: Graph, blocks: readonly GatedBlock[]): Reader[] {
  const inference = inferShapes(normal);
  return blocks.flatMap((block) => {
    const slices = block.group === "layers" ? [lastWeight(block)] : readersOf(block);
    return slices.flatMap((slice) =>
      readerInputs(normal, inference, slice).map((input) => ({ block, slice, input })),
    );
  });
}

/** The last weight of a residual branch, as one group of all that it reads. */
const lastWeight = ({ site: { tensor, axis, axisSize, places } }: GatedBlock): CoupledSlice => ({
  tensor,
  axis,
  axisSize,
  places,
  role: "producer",
});

const keyOf = ({ activations, axes }: ReaderInput): string =>
  `${activations} ${axes.map(({ activation }) => activation).join()}`;

/** Batches of examples whose inputs have the same shapes. */
function ofEqualLength(examples: readonly EncodedExample[], size: number): EncodedExample[][] {
  const byShape = new Map<string, EncodedExample[]>();
  for (const example of examples) {
    const shapes = Object.values(example.features).map(({ shape }) => shape.join("×"));
    const key = `${example.tokens["input_ids"]?.length} ${shapes.join()}`;
    byShape.set(key, [...(byShape.get(key) ?? []), example]);
  }
  return [...byShape.values()].flatMap((alike) =>
    Array.from({ length: Math.ceil(alike.length / size) }, (_, i) => alike.slice(i * size, (i + 1) * size)),
  );
}

function addTo(sums: Map<string, Float64Array>, key: string, numbers: ArrayLike<number | bigint>): void {
  const total = sums.get(key) ?? new Float64Array(numbers.length);
  sums.set(key, total);
  for (let i = 0; i < numbers.length; i++) {
    total[i]! += Number(numbers[i]);
    if (Number.isFinite(total[i])) continue;
    throw new DgateError(
      "DATA",
      `importance: the activations "${key.split(" ", 1)[0]}" are not finite; leave out the examples that make them so.`,
    );
  }
}

/** Adds Σ |w|·‖x‖ of one reader to the scores of its groups. */
function addReader(
  scores: Float64Array,
  weight: Tensor,
  { axis, places }: CoupledSlice,
  { axes }: ReaderInput,
  squares: Float64Array,
): void {
  const along = new Float64Array(weight.shape[axis]!);
  const numbers = readNumbers(weight);
  const strides = weight.shape.map((_, at) => weight.shape.slice(at + 1).reduce((a, b) => a * b, 1));
  const coordinate = (k: number, at: number): number => Math.floor(k / strides[at]!) % weight.shape[at]!;
  // The sums lie in the order of the activations' axes.
  const order = axes.toSorted((a, b) => a.activation - b.activation).map((pair) => pair.weight);
  for (let k = 0; k < numbers.length; k++) {
    let row = 0;
    for (const at of order) row = row * weight.shape[at]! + coordinate(k, at);
    along[coordinate(k, axis)]! += Math.abs(Number(numbers[k])) * Math.sqrt(squares[row]!);
  }
  scores.forEach((_, group) => {
    for (const at of indicesOf(places, group)) scores[group]! += along[at]!;
  });
}
