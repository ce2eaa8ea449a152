import type { PrunePlan } from "@dgate/core";
import type { Graph, Node, Value } from "../graph/graph.ts";
/** A Gather that picks the features a layer still reads from the full input. */
export interface FeatureGather {
  /** The model input that the features come from. */
  readonly input: Value;
  /** The layer that reads them. */
  readonly consumer: Node;
  readonly gather: Node;
  /** The list of picked indices. */
  readonly indices: Value;
  readonly axis: number;
  readonly size: number;
}
/** The model input whose elements a value holds, moved at most; `undefined` if anything is computed on the way. */
export declare function sourceInput(graph: Graph, value: Value): Value | undefined;
/** Where the weight of a layer meets its data: the weight's input-channel axis and the data's. */
export declare function featureAxes(
  node: Node,
  dataRank: number,
):
  | {
      weightAxis: number;
      dataAxis: number;
    }
  | undefined;
/**
 * Puts a Gather of all features before each layer whose input features are planned, so that the model keeps taking full
 * inputs. The cut then shortens the list of indices together with the weight.
 */
export declare function insertFeatureGathers(graph: Graph, plan: PrunePlan): FeatureGather[];
/** Takes out the Gathers that pick everything. */
export declare function dropFullGathers(graph: Graph, gathers: readonly FeatureGather[]): FeatureGather[];
