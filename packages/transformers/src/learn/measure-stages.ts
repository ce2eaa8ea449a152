import { type Batch, countCosts, type Graph, writeModel } from "@dgate/onnx";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor } from "../data/feeds.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import type { HeadGates } from "../head-gates.ts";
import { compareLatency, type Latency } from "../measure/latency.ts";
import { stopIfAborted } from "../stop-if-aborted.ts";
import type { LearnOptions } from "./learn-options.ts";
import type { Quality, Stage } from "./learn-report.ts";
import type { Scorer } from "./score.ts";

/** The three models that are compared. */
export interface Stages {
  readonly dense: Stage;
  readonly gated: Stage;
  readonly pruned: Stage;
}

/** What stages are measured with. */
interface StageOptions {
  readonly scorer: Scorer;
  readonly quality: { readonly dense: Quality; readonly gated: Quality };
  /** Whether anything goes. */
  readonly shrinks: boolean;
  readonly example: EncodedExample;
  readonly padId: number;
  readonly dims: Readonly<Record<string, number>>;
  readonly options: LearnOptions;
}

/** Quality, size and warm latency of the dense, the gated and the pruned model. */
export async function measureStages(
  gates: HeadGates,
  part: GatedPart,
  measured: StageOptions,
): Promise<Stages> {
  const { scorer, quality, shrinks, dims, options } = measured;
  const dense = part.source.graph;
  const size = sizeOf(dense, dims, part.source.sizeBytes);
  const { signal } = options;
  const graph = shrinks ? await prunedGraph(gates, part, options) : dense;
  const prunedQuality = shrinks ? await scorer.score(graph) : quality.gated;
  const live = part.live!.graph; // the part that is learned has gates
  const latencies = options.latency === false ? [] : await latenciesOf(gates, [dense, live, graph], measured);
  stopIfAborted(signal, "learn");
  const after = shrinks ? sizeOf(graph, dims, writeModel(graph).length) : size;
  return {
    dense: withLatency({ ...size, quality: quality.dense }, latencies[0]),
    gated: withLatency({ ...size, quality: quality.gated }, latencies[1]),
    pruned: withLatency({ ...after, quality: prunedQuality }, latencies[2]),
  };
}

const withLatency = (stage: Omit<Stage, "latency">, latency: Latency | undefined): Stage => {
  return latency ? { ...stage, latency } : stage;
};

async function prunedGraph(
  gates: HeadGates,
  part: GatedPart,
  { dims, signal }: LearnOptions,
): Promise<Graph> {
  const { files } = await gates.prune({ ...(dims && { dims }), ...(signal && { signal }) });
  return files.find((file) => file.part === part)!.graph;
}

function sizeOf(graph: Graph, dims: Readonly<Record<string, number>>, bytes: number) {
  const { parameters, macs } = countCosts(graph, dims);
  return { parameters, macs, bytes };
}

function latenciesOf(
  gates: HeadGates,
  graphs: readonly Graph[],
  { example, padId, options }: StageOptions,
): Promise<Latency[]> {
  const { runtime, threads } = gates.internals;
  const models = graphs.map((graph): { graph: Graph; feeds: Batch } => ({
    graph,
    feeds: feedsFor(graph, [example], padId).feeds,
  }));
  return compareLatency(models, {
    ...runtime.engine,
    threads,
    ...(options.signal && { signal: options.signal }),
  });
}
