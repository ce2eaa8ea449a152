import { DgateError, randomGenerator } from "@dgate/core";
import {
  countCosts,
  findSites,
  type Graph,
  isQuantized,
  mask,
  numbersOf,
  planFrom,
  prune,
  randomInputs,
  readModel,
  type Site,
  type Value,
  verify,
  writeModel,
} from "@dgate/onnx";
import { load, type OrtModule, type RunTensor, type WebModel } from "@dgate/onnx/web";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { inTurns } from "../ui/in-turns.ts";
import { pause, stopIfAborted } from "../ui/until.ts";
import type {
  Measurement,
  ModelFacts,
  Place,
  PruneOutcome,
  PruneRequest,
  SitesOfKind,
} from "./deployment.ts";
import { readDropped } from "./read-dropped.ts";

interface OpenModel {
  readonly graph: Graph;
  readonly facts: ModelFacts;
}

/** Sizes of symbolic dimensions with which models are counted and run. Few positions: the model that the heads page trains has no more. */
const dims: Readonly<Record<string, number>> = {
  batch: 1,
  batch_size: 1,
  sequence: 32,
  sequence_length: 32,
};

/** Time for one measurement. */
const budgetMs = 6000;

/** How a measurement tells what it does, and is ended. */
interface MeasureOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (part: number) => void;
}

/** The models of a page. */
export class DeploySession {
  readonly #threads: number;
  #models: readonly OpenModel[] = [];

  /** @param threads of WASM for all models: the first one that runs fixes them */
  constructor({ threads }: { readonly threads: number }) {
    this.#threads = threads;
  }

  /**
   * Opens one or two ONNX files; other files are looked up where a model has weights outside of its file. What was open stays open if that fails.
   *
   * @throws DgateError `FORMAT` for what is no ONNX model, `OPTION` for no model or more than two, `IO` for weights that are not there
   */
  async open(files: readonly DroppedFile[]): Promise<readonly ModelFacts[]> {
    const named = files.filter(({ path }) => path.endsWith(".onnx"));
    // A file of another name may be a model all the same.
    const models = named.length > 0 ? named : files;
    if (models.length === 0 || models.length > 2) {
      throw new DgateError("OPTION", `Drop one ONNX model, or two to compare; these are ${models.length}.`);
    }
    const names = models.map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
    const alike = new Set(names).size < names.length;
    const opened: OpenModel[] = [];
    for (const [i, file] of models.entries()) {
      const name = alike ? file.path : names[i]!;
      const { graph, bytes } = await readDropped(file, files, name);
      opened.push({ graph, facts: factsOf(graph, name, bytes) });
    }
    this.#models = opened;
    return opened.map(({ facts }) => facts);
  }

  /**
   * Prunes the first model to a budget and proves the result equal to the masked model.
   *
   * @throws DgateError as `planFrom` and `prune`; `CHECK`
   */
  async prune({ budget, fraction, criterion, kinds }: PruneRequest, ort: OrtModule): Promise<PruneOutcome> {
    const { graph, facts } = this.#first;
    const plan = planFrom(findSites(graph), { [budget]: fraction, criterion, sites: kinds, dims });
    const { graph: pruned, report } = prune(graph, plan, { dims });
    const proof = await verify(mask(graph, plan), pruned, {
      ort,
      runtime: "web",
      threads: this.#threads,
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
    return {
      facts: factsOf(pruned, facts.name.replace(/(\.onnx)?$/, "-pruned.onnx"), bytes.length),
      file: new Blob([bytes]),
      removed: report.removed.map(({ site, groups, kept }) => ({ site, groups, kept })),
      keptBack: report.keptBack.map(({ site, groups, reason }) => ({ site, count: groups.length, reason })),
      maxAbsDiff: proof.maxAbsDiff,
    };
  }

  /**
   * Runs the first model beside what pruning left of it, or the two that were dropped, in turns on the same random inputs.
   *
   * @throws DgateError `ABORTED`; as `load` and `WebModel.run`
   */
  async measure(
    place: Place,
    pruned: Blob | undefined,
    ort: OrtModule,
    { signal, onProgress }: MeasureOptions,
  ): Promise<Measurement> {
    const first = this.#first.graph;
    const second = pruned
      ? readModel(new Uint8Array(await pruned.arrayBuffer()), { name: "the pruned model" })
      : this.#models[1]?.graph;
    if (!second)
      throw new DgateError("OPTION", "There is nothing to compare with: prune the model, or drop two.");
    const graphs = [first, second];
    const models: WebModel[] = [];
    const step = async (): Promise<void> => {
      await pause();
      stopIfAborted(signal);
    };
    try {
      for (const graph of graphs) {
        await step();
        const options = { ort, providers: [place], threads: this.#threads, signal };
        models.push(await load(writeModel(graph), options));
      }
      const inputs = graphs.map((graph) => feedsOf(graph));
      const outputs: Outputs[] = [];
      for (const [i, model] of models.entries()) {
        await step();
        outputs.push(await model.run(inputs[i]!));
      }
      const times = await inTurns(
        models.map((model, i) => () => model.run(inputs[i]!)),
        {
          budgetMs,
          fewest: 10,
          most: 200,
          step: async (part) => {
            onProgress(part);
            await step();
          },
        },
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

  get #first(): OpenModel {
    const [first] = this.#models;
    if (first) return first;
    throw new DgateError("OPTION", "No model is open: drop one first.");
  }
}

function factsOf(graph: Graph, name: string, bytes: number): ModelFacts {
  const { parameters, macs, assumed } = countCosts(graph, dims);
  const open = new Set(graph.requiredInputs.flatMap(({ type }) => type?.shape ?? []));
  const operators = new Map<string, number>();
  for (const { op } of graph.nodes()) operators.set(op, (operators.get(op) ?? 0) + 1);
  return {
    name,
    bytes,
    parameters,
    macs,
    assumed: [
      ...Object.entries(dims).filter(([dim]) => open.has(dim)),
      ...assumed.map((dim) => [dim, 1] as const),
    ],
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
