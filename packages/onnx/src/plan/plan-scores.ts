import { DgateError } from "@dgate/core";
import { indicesOf, type Occurrence } from "../coupling/analyse.ts";
import { readGates } from "../gating/read-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { realTensor } from "../quantization/real-tensor.ts";
import { squaredSlices } from "../sites/group-norms.ts";
import type { Site } from "../sites/site.ts";
import type { Normalisation, PlanCriterion, PlanOptions } from "./plan-options.ts";
import type { Stream } from "./plan-streams.ts";

/** Scores of a stream's groups; larger ones stay. */
export type Scores = Float64Array;

interface Slice {
  readonly tensor: string;
  readonly axis: number;
  readonly places: readonly Occurrence[];
}

/** Scores the groups of one stream after the other, by one criterion. */
export class Scorer {
  readonly #criterion: PlanCriterion;
  readonly #scope: "site" | "global";
  readonly #gated: Graph | undefined;
  readonly #draw: () => number;
  /** Squared norms of slices, by tensor and axis. */
  readonly #squares = new Map<string, Float64Array>();

  constructor({ criterion = "l2", gated }: PlanOptions, scope: "site" | "global", draw: () => number) {
    this.#criterion = criterion;
    this.#scope = scope;
    this.#gated = gated;
    this.#draw = draw;
  }

  /**
   * The signed root of the sum of the squared scores of a stream's sites; of the layers, one score each.
   *
   * @throws DgateError `DATA` for NaN, `GROUP` for scores that do not fit or are missing, `NO_MATCH` if no site has gates
   */
  score(stream: Stream): Scores {
    if (stream.layers)
      return checked(
        stream,
        Float64Array.from(stream.sites, (site) => this.#ofStream([site])[0]!),
      );
    return checked(stream, this.#ofStream(stream.sites));
  }

  #ofStream(sites: readonly Site[]): Scores {
    const total = new Float64Array(sites[0]!.groups);
    for (const own of this.#parts(sites)) {
      total.forEach((_, j) => {
        total[j]! += own[j]! * Math.abs(own[j]!);
      });
    }
    return total.map((square) => Math.sign(square) * Math.sqrt(Math.abs(square)));
  }

  #parts(sites: readonly Site[]): ArrayLike<number>[] {
    switch (this.#criterion) {
      case "l2":
        return sites.map((site) => site.norms());
      case "l2-coupled":
        return this.#coupledNorms(sites);
      case "random":
        return sites.map((site) => Array.from({ length: site.groups }, this.#draw));
      case "gates":
        return gateProducts(sites, this.#gated ?? sites[0]!.source().coupling.graph);
      default:
        return this.#given(sites, this.#criterion);
    }
  }

  #given(sites: readonly Site[], scores: Readonly<Record<string, ArrayLike<number>>>): ArrayLike<number>[] {
    if (this.#scope === "global" && !sites.some(({ name }) => Object.hasOwn(scores, name))) {
      throw new DgateError(
        "GROUP",
        `plan: there are no scores for site "${sites[0]!.name}"; ranked together, every site needs its own (or leave it out of sites).`,
      );
    }
    return sites.flatMap((site) => {
      const own = Object.hasOwn(scores, site.name) ? scores[site.name]! : undefined;
      if (!own) return this.#scope === "global" ? [] : [site.norms()];
      if (own.length === site.groups) return [own];
      throw new DgateError(
        "GROUP",
        `plan: site "${site.name}" has ${site.groups} groups, got ${own.length} scores.`,
      );
    });
  }

  /** Of each slice that goes with the groups once, whichever site of the stream names it. */
  #coupledNorms(sites: readonly Site[]): Float64Array[] {
    if (sites[0]!.kind === "layers") return sites.map((site) => site.norms());
    const graph = sites[0]!.source().coupling.graph;
    return coupledSlicesOf(sites).flatMap(({ tensor, axis, places }) => {
      const value = graph.value(tensor);
      if (!value?.data) return [];
      const key = `${axis} ${tensor}`;
      const squares = this.#squares.get(key) ?? squaredSlices(realTensor(graph, value), axis);
      this.#squares.set(key, squares);
      return [
        Float64Array.from({ length: sites[0]!.groups }, (_, group) => {
          const at = places.flatMap((place) => indicesOf(place, group));
          return Math.sqrt(at.reduce((sum, index) => sum + squares[index]!, 0));
        }),
      ];
    });
  }
}

/** The weights of a stream's groups and all that is coupled to them, running statistics left out. */
function coupledSlicesOf(sites: readonly Site[]): Slice[] {
  const slices = new Map<string, Slice>();
  for (const site of sites) {
    const coupled = site.coupled.filter(({ role }) => role !== "statistics");
    for (const slice of [site, ...coupled]) slices.set(`${slice.axis} ${slice.tensor}`, slice);
  }
  return [...slices.values()];
}

/** Πγ of the gates of each site that has some; gates that sites share count once. */
function gateProducts(sites: readonly Site[], graph: Graph): Float64Array[] {
  const recorded = readGates(graph);
  const found = new Set(
    sites.flatMap((site) => recorded.get(site.name)?.product ?? gatesByName(site, graph) ?? []),
  );
  const wrong = [...found].find((product) => product.length !== sites[0]!.groups);
  if (wrong) {
    throw new DgateError(
      "GROUP",
      `plan: site "${sites[0]!.name}" has ${sites[0]!.groups} groups, but ${wrong.length} gates; were they made for another model?`,
    );
  }
  if (found.size > 0) return [...found].map((product) => product.map(Math.abs));
  throw new DgateError(
    "NO_MATCH",
    `plan: the model has no gates "${sites[0]!.name}.gate.1"; insert gates first, leave the site out of sites, or take another criterion.`,
  );
}

/** The product of gates that a model has without saying so: constants called `<site>.gate.1`, `<site>.gate.2`, …. */
function gatesByName({ name }: Site, graph: Graph): Float64Array | undefined {
  let product: Float64Array | undefined;
  for (let d = 1; ; d++) {
    const data = graph.value(`${name}.gate.${d}`)?.data;
    if (!data) return product;
    product = Float64Array.from(readNumbers(data), (gate, j) => gate * (product?.[j] ?? 1));
  }
}

function checked({ sites, layers }: Stream, scores: Scores): Scores {
  const bad = scores.findIndex((score) => Number.isNaN(score));
  if (bad < 0) return scores;
  const place = layers ? `site "${sites[bad]!.name}"` : `group ${bad} of site "${sites[0]!.name}"`;
  throw new DgateError("DATA", `plan: the score of ${place} is NaN.`);
}

/** Scores of a stream as fractions of what is usual in it, so that streams compare. */
export function normalised(
  stream: Stream,
  scores: Scores,
  how: Normalisation,
  criterion: PlanCriterion,
): Scores {
  const magnitudes = scores.map(Math.abs);
  const divisor = {
    none: () => 1,
    max: () => magnitudes.reduce((a, b) => Math.max(a, b), 0),
    mean: () => magnitudes.reduce((a, b) => a + b, 0) / magnitudes.length,
    size: () => Math.sqrt(stream.layers ? 1 : groupSize(stream.sites, criterion === "l2-coupled")),
  }[how]();
  return divisor > 0 ? scores.map((score) => score / divisor) : scores;
}

/** Weights in a group. */
function groupSize(sites: readonly Site[], coupled: boolean): number {
  const { graph } = sites[0]!.source().coupling;
  const slices: readonly Slice[] = coupled ? coupledSlicesOf(sites) : sites;
  return slices.reduce((total, { tensor, axis, places }) => {
    const shape = graph.value(tensor)?.data?.shape ?? [];
    const slice = shape.reduce((a, b) => a * b, 1) / (shape[axis] || 1);
    return total + slice * places.flatMap((place) => indicesOf(place, 0)).length;
  }, 0);
}
