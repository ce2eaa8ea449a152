import { DgateError } from "@dgate/core";
import type { Occurrence } from "../coupling/analyse.ts";
import type { Graph } from "../graph/graph.ts";
import { maxRank } from "../io/element-types.ts";
import { type SiteKind, siteKinds } from "../sites/site.ts";
import type { GateMember, GateSet } from "./gate-sets.ts";

/** The entry of `metadata_props` that says which weights of a model are gated, as JSON. */
export const gatesKey = "dgate.gates";

/** A weight of a gated site, and the value that is computed from it. */
interface GatedMember extends GateMember {
  readonly gated: string;
}

/** A gate set of a gated model. */
export interface GatedSite extends GateSet {
  /** Names of the D − 1 gate inputs. */
  readonly gates: readonly string[];
  readonly members: readonly GatedMember[];
}

/** What a gated model says of its gates. */
export interface GateRecord {
  readonly depth: number;
  readonly sites: readonly GatedSite[];
}

/** The record as the text of the metadata entry. */
export function printGates({ depth, sites }: GateRecord): string {
  return JSON.stringify({ version: 1, depth, sites });
}

/**
 * The record of a gated model; `undefined` for a model without gates. Only its form is checked here: whether the graph is as
 * the record says is for `resolveGates`.
 *
 * @throws DgateError `FORMAT` naming the place, for an entry of another form or version
 */
export function readGateRecord(graph: Graph): GateRecord | undefined {
  const text = graph.info.metadata.get(gatesKey);
  return text === undefined ? undefined : parseGates(text);
}

/** Reads the text of the metadata entry; throws as `readGateRecord`. */
export function parseGates(text: string): GateRecord {
  const root = new Entry(gatesKey, parseJson(text));
  const version = root.field("version").value;
  if (version !== 1) root.field("version").fail("1; a newer @dgate may read it");
  const depth = root.field("depth").integer(2);
  const sites = root.field("sites").list(readSite);
  for (const { name, gates } of sites) {
    if (gates.length === depth - 1) continue;
    throw new DgateError(
      "FORMAT",
      `${gatesKey}: site "${name}" has ${gates.length} gates, but the depth is ${depth}: expected ${depth - 1}.`,
    );
  }
  const tensors = sites.map(({ members }) => members.map(({ tensor }) => tensor));
  const repeated = tensors.findIndex((names) => new Set(names).size < names.length);
  if (repeated >= 0) {
    throw new DgateError("FORMAT", `${gatesKey}: site "${sites[repeated]!.name}" names a tensor twice.`);
  }
  return { depth, sites };
}

function readSite(entry: Entry): GatedSite {
  const kind = entry.field("kind");
  if (!siteKinds.includes(kind.value as SiteKind)) kind.fail(`one of ${siteKinds.join(", ")}`); // looked up as any value
  const members = entry.field("members").list(readMember);
  if (members.length === 0) entry.field("members").fail("at least one");
  const sites = entry.field("sites").list((site) => site.text());
  if (sites.length === 0) entry.field("sites").fail("at least one");
  return {
    name: entry.field("name").text(),
    kind: kind.value as SiteKind, // checked above
    sites,
    groups: entry.field("groups").integer(1),
    gates: entry.field("gates").list((gate) => gate.text()),
    members,
  };
}

function readMember(entry: Entry): GatedMember {
  return {
    tensor: entry.field("tensor").text(),
    axis: entry.field("axis").integer(0),
    places: entry.field("places").list(readPlace),
    gated: entry.field("gated").text(),
  };
}

function readPlace(entry: Entry): Occurrence {
  const loops = entry.field("loops").list((loop) => {
    return { count: loop.field("count").integer(1), stride: loop.field("stride").integer(0) };
  });
  // Each loop of an axis is another axis of a tensor that it was made of.
  if (loops.length > maxRank) entry.field("loops").fail(`at most ${maxRank}`);
  return { offset: entry.field("offset").integer(0), stride: entry.field("stride").integer(0), loops };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DgateError("FORMAT", `${gatesKey}: the metadata entry is not JSON (${String(cause)}).`, {
      cause,
    });
  }
}

/** A value of parsed JSON and where it stands. */
class Entry {
  readonly value: unknown;
  readonly #place: string;

  constructor(place: string, value: unknown) {
    this.#place = place;
    this.value = value;
  }

  field(name: string): Entry {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return this.fail("an object");
    const found = Object.entries(value).find(([key]) => key === name);
    return new Entry(`${this.#place}.${name}`, found?.[1]);
  }

  list<T>(read: (entry: Entry) => T): T[] {
    if (!Array.isArray(this.value)) return this.fail("a list");
    return this.value.map((each, i) => read(new Entry(`${this.#place}[${i}]`, each)));
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.fail("a text");
  }

  integer(least: number): number {
    const { value } = this;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
    return this.fail(`a whole number of at least ${least}`);
  }

  fail(expected: string): never {
    const found = this.value === undefined ? "nothing" : (JSON.stringify(this.value) ?? "").slice(0, 40);
    throw new DgateError("FORMAT", `${this.#place}: expected ${expected}, got ${found}.`);
  }
}
