import { countCosts, findSites, type Graph } from "@dgate/onnx";
import { measureSpeedup } from "./measure-speedup.ts";
import type { Task } from "./task.ts";

/** A pruned model, measured: plain JSON. */
export interface Point {
  /** λ, or the fraction of groups that was to stay. */
  readonly strength: number;
  readonly score: number;
  /** Groups that stay, of the sites that could be pruned. */
  readonly groups: number;
  readonly parameters: number;
  readonly macs: number;
  /** Latency of the dense model divided by its own, measured in turns. */
  readonly speedup: number;
  /** Score before removal, of gated models. */
  readonly gatedScore?: number;
  /** Groups near the threshold, of gated models. */
  readonly near?: number;
  /** Indices of the groups that stay of each site, where the task asks for them. */
  readonly kept?: KeptGroups;
}

/** Indices of groups by the name of their site. */
export type KeptGroups = Readonly<Record<string, readonly number[]>>;

/** What a method has made of a model. */
export interface Outcome extends Pick<Point, "strength" | "gatedScore" | "near"> {
  readonly graph: Graph;
  readonly kept: KeptGroups;
}

/** Measures pruned models against the dense one. */
export async function measurePoints(
  task: Task,
  seed: number,
  outcomes: readonly Outcome[],
): Promise<readonly Point[]> {
  const dense = await task.build(seed);
  const points: Point[] = [];
  for (const { graph, kept, ...known } of outcomes) {
    const { parameters, macs } = countCosts(graph, task.dims);
    points.push({
      ...known,
      ...(task.recordKept && { kept }),
      score: await task.score(graph),
      groups: groupsOf(task, dense, kept),
      parameters,
      macs,
      speedup: await measureSpeedup(dense, graph, task.example),
    });
  }
  return points;
}

/** Groups of the sites that a task prunes, or those of them that are kept; sites on the same channels count once. */
export function groupsOf({ gate }: Pick<Task, "gate">, graph: Graph, kept: KeptGroups = {}): number {
  const counted = new Map<number, number>();
  for (const { name, kind, channel, groups, prunable } of findSites(graph)) {
    if (prunable !== true || !(gate.includes(name) || gate.includes(kind))) continue;
    const left = kept[name]?.length ?? groups;
    counted.set(channel, Math.min(left, counted.get(channel) ?? groups));
  }
  return [...counted.values()].reduce((sum, groups) => sum + groups, 0);
}
