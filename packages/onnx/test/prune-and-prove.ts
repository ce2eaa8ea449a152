import { makePlan, type PlannedAxis, type PrunePlan } from "@dgate/core";
import {
  fingerprint,
  findSites,
  type Graph,
  mask,
  planFrom,
  type PlanOptions,
  prune,
  type PruneReport,
  verify,
  type VerifyOptions,
} from "@dgate/onnx";

/** What a plan of chosen weights removes: `tensor: [axis, dead groups, size of a group]`. */
export type DeadGroups = Readonly<
  Record<string, readonly [axis: number, dead: readonly number[], blockSize?: number]>
>;

/** A plan that zeroes exactly these groups: biases that it does not name stay, and what they emit has to be folded. */
export function planOf(graph: Graph, groups: DeadGroups): PrunePlan {
  const axes = Object.entries(groups).map(([tensor, [axis, dead, blockSize = 1]]): PlannedAxis => {
    const size = graph.value(tensor)!.data!.shape[axis]! / blockSize;
    const kept = Array.from({ length: size }, (_, i) => i).filter((i) => !dead.includes(i));
    return { site: tensor, tensor, axis, size, blockSize, kept };
  });
  return makePlan({ fingerprint: fingerprint(graph), axes });
}

/** As `planFrom` on the graph's own sites. */
export const sitePlan = (graph: Graph, options: PlanOptions): PrunePlan =>
  planFrom(findSites(graph), options);

/** What `proofOf` found. */
export interface Proof {
  readonly pruned: Graph;
  readonly report: PruneReport;
  /** Largest difference between masked and pruned model, relative to the outputs' scale. */
  readonly difference: number;
  /** The same between the model and the masked one: what the plan changes at all. */
  readonly effect: number;
}

/** Options of `proofOf`. */
export interface ProofOptions extends VerifyOptions {
  /** The form in which models are run, where they cannot run as they are. */
  readonly run?: (model: Graph) => Graph;
}

/** Masks and prunes a model and runs all three in onnxruntime. */
export async function proofOf(
  graph: Graph,
  plan: PrunePlan,
  { run = (model) => model, ...options }: ProofOptions = {},
): Promise<Proof> {
  const masked = run(mask(graph, plan));
  const { graph: pruned, report } = prune(graph, plan);
  const { inputs, outputs } = report;
  const proof = await verify(masked, run(pruned), { ...options, inputs, outputs });
  const effect = await verify(run(graph), masked, options);
  return { pruned, report, difference: proof.maxRelDiff, effect: effect.maxRelDiff };
}

/** Shape of a constant; `undefined` if it is gone. */
export const shapeOf = (graph: Graph, tensor: string): readonly number[] | undefined =>
  graph.value(tensor)?.data?.shape;
