import { DgateError, randomGenerator } from "@dgate/core";
import {
  countCosts,
  type ExternalResolver,
  findSites,
  type Graph,
  isQuantized,
  mask,
  numbersOf,
  planFrom,
  type PruneOptions,
  prune,
  randomInputs,
  readModel,
  type Site,
  type Value,
  verify,
  writeModel,
} from "@dgate/onnx";
import { load, type OrtModule, type RunTensor } from "@dgate/onnx/web";
import { inTurns } from "../ui/in-turns.ts";
import type {
  DroppedFile,
  Measurement,
  ModelFacts,
  Place,
  PruneOutcome,
  PruneRequest,
  SitesOfKind,
} from "./deployment.ts";

interface OpenModel {
  readonly graph: Graph;
  readonly facts: ModelFacts;
}

/** Sizes of symbolic dimensions with which models are counted and run. */
const dims: NonNullable<PruneOptions["dims"]> = {
  batch: 1,
  batch_size: 1,
  sequence: 64,
  sequence_length: 64,
};

/** Time for one measurement. */
const budgetMs = 6000;

/** The models of a page: what was dropped, and what pruning left of the first. */
export class DeploySession {
  #models: readonly OpenModel[] = [];
  #pruned: { readonly graph: Graph; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  /**
   * Opens one or two ONNX files; other files are looked up where a model has weights outside of its file.
   *
   * @throws DgateError `FORMAT` for what is no ONNX model, `OPTION` for no model or more than two
   */
  open(files: readonly DroppedFile[]): readonly ModelFacts[] {
    const named = files.filter(({ name }) => name.endsWith(".onnx"));
    // A file of another name may be a model all the same.
    const models = named.length > 0 ? named : files;
    if (models.length === 0 || models.length > 2) {
      throw new DgateError("OPTION", `Drop one ONNX model, or two to compare; these are ${models.length}.`);
    }
    this.#pruned = undefined;
    this.#models = models.map((file) => openModel(file, files));
    return this.#models.map(({ facts }) => facts);
  }

  /**
   * Prunes the first model to a budget and proves the result equal to the masked model.
   *
   * @throws DgateError as `planFrom` and `prune`; `CHECK`
   */
  async prune({ budget, fraction, criterion, kinds }: PruneRequest, ort: OrtModule): Promise<PruneOutcome> {
    const { graph, facts } = this.#models[0]!;
    const plan = planFrom(findSites(graph), { [budget]: fraction, criterion, sites: kinds, dims });
    const { graph: pruned, report } = prune(graph, plan, { dims });
    const proof = await verify(mask(graph, plan), pruned, {
      ort,
      runtime: "web",
      inputs: report.inputs,
      outputs: report.outputs,
      dims,
      runs: 2,
    });
    if (!proof.acceptable) {
      throw new DgateError(
        "CHECK",
        `The pruned model differs from the masked one by ${proof.maxAbsDiff}. Please report the model.`,
      );
    }
    const bytes = writeModel(pruned);
    this.#pruned = { graph: pruned, bytes };
    return {
      facts: factsOf(pruned, facts.name.replace(/(\.onnx)?$/, "-pruned.onnx"), bytes.length),
      removed: report.removed.map(({ site, groups, kept }) => ({ site, groups, kept })),
      keptBack: report.keptBack.map(({ site, groups, reason }) => ({ site, count: groups.length, reason })),
      maxAbsDiff: proof.maxAbsDiff,
    };
  }

  /** The pruned model's file. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#pruned) return this.#pruned.bytes;
    throw new DgateError("OPTION", "Nothing has been pruned yet.");
  }

  /** Runs the dense model beside the pruned one, or the two that were dropped, in turns on the same random inputs. */
  async measure(place: Place, ort: OrtModule, onProgress: (part: number) => void): Promise<Measurement> {
    const first = this.#models[0]!.graph;
    const second = this.#pruned?.graph ?? this.#models[1]?.graph;
    if (!second)
      throw new DgateError("OPTION", "There is nothing to compare with: prune the model, or drop two.");
    const models = [];
    try {
      for (const graph of [first, second])
        models.push(await load(writeModel(graph), { ort, providers: [place] }));
      const inputs = [first, second].map((graph) => feedsOf(graph));
      const outputs = [];
      for (const [i, model] of models.entries()) outputs.push(await model.run(inputs[i]!));
      const times = await inTurns(
        models.map((model, i) => () => model.run(inputs[i]!)),
        { budgetMs, fewest: 10, most: 200, step: async (part) => onProgress(part) },
      );
      const difference = differenceOf(outputs[0]!, outputs[1]!);
      return {
        threads: models[0]!.threads,
        first: times[0]!,
        second: times[1]!,
        maxAbsDiff: difference?.absolute,
        maxRelDiff: difference?.relative,
        notes: [...new Set(models.flatMap(({ notes }) => notes))],
      };
    } finally {
      for (const model of models) await model.dispose();
    }
  }
}

function openModel({ name, bytes }: DroppedFile, all: readonly DroppedFile[]): OpenModel {
  let beside = 0;
  const externalData: ExternalResolver = ({ location, offset, length }) => {
    const file = all.find((each) => each.name === location.split("/").at(-1));
    if (!file) {
      throw new DgateError(
        "IO",
        `${name}: its weights lie in ${location}; drop that file together with the model.`,
      );
    }
    beside += length;
    return file.bytes.subarray(offset, offset + length);
  };
  const graph = readModel(bytes, { name, externalData });
  return { graph, facts: factsOf(graph, name, bytes.length + beside) };
}

function factsOf(graph: Graph, name: string, bytes: number): ModelFacts {
  const { parameters, macs, assumed } = countCosts(graph, dims);
  const operators = new Map<string, number>();
  for (const { op } of graph.nodes()) operators.set(op, (operators.get(op) ?? 0) + 1);
  return {
    name,
    bytes,
    parameters,
    macs,
    assumed,
    quantized: isQuantized(graph),
    inputs: graph.requiredInputs.map(describeValue),
    outputs: graph.outputs.map(describeValue),
    operators: [...operators].sort(([, a], [, b]) => b - a),
    sites: sitesByKind(findSites(graph)),
  };
}

const describeValue = ({ name, type }: Value): string =>
  `${name}: ${type?.dtype ?? "of unknown type"}${type?.shape ? ` [${type.shape.map((dim) => dim ?? "?").join(", ")}]` : ""}`;

function sitesByKind(sites: readonly Site[]): readonly SitesOfKind[] {
  const kinds = [...new Set(sites.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const own = sites.filter((site) => site.kind === kind);
    const reasons = new Map<string, number>();
    for (const { prunable } of own) {
      if (prunable !== true) reasons.set(prunable, (reasons.get(prunable) ?? 0) + 1);
    }
    return {
      kind,
      sites: own.length,
      groups: groupsOf(own),
      prunable: groupsOf(own.filter(({ prunable }) => prunable === true)),
      reasons: [...reasons],
    };
  });
}

const groupsOf = (sites: readonly Site[]): number => sites.reduce((sum, { groups }) => sum + groups, 0);

function feedsOf(graph: Graph) {
  // The same seed: models with the same inputs get the same content.
  return randomInputs(graph, randomGenerator(1), dims);
}

type Outputs = Readonly<Record<string, RunTensor>>;

/** The largest difference of two models' outputs, if they have the same. */
function differenceOf(
  a: Outputs,
  b: Outputs,
): { readonly absolute: number; readonly relative: number } | undefined {
  let [absolute, relative] = [0, 0];
  for (const [name, tensor] of Object.entries(a)) {
    const other = b[name];
    if (!other || other.shape.join() !== tensor.shape.join()) return undefined;
    const [x, y] = [numbersOf(tensor), numbersOf(other)];
    let [most, scale] = [0, 1e-12];
    x.forEach((value, i) => {
      most = Math.max(most, Math.abs(value - y[i]!));
      scale = Math.max(scale, Math.abs(value));
    });
    absolute = Math.max(absolute, most);
    relative = Math.max(relative, most / scale);
  }
  return { absolute, relative };
}
