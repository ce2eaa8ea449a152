import { mergeDomain } from "../ops/flat.ts";
import { int, string } from "../graph/attribute.ts";
import type { Attribute } from "../graph/attribute.ts";
import { Graph, type Node, type Value } from "../graph/graph.ts";
import { stringAttribute } from "../ops/attributes.ts";

const branches = ["then", "else"] as const;

type Branch = (typeof branches)[number];

/**
 * Lays the branches of every If out in the graph around it, so that analysis and passes see one graph: the branches of a merged
 * decoder share their weights. Loop and Scan stay as they are. Returns the number of Ifs.
 */
export function flattenBranches(graph: Graph): number {
  let edits = 0;
  for (let node = nextIf(graph); node; node = nextIf(graph)) {
    flatten(graph, node);
    edits += 1;
  }
  return edits;
}

function nextIf(graph: Graph): Node | undefined {
  return graph.nodes("If").find((node) => branches.every((branch) => bodyOf(node, branch)));
}

/** The graph of one branch of an If. */
export function bodyOf(node: Node, branch: Branch): Graph | undefined {
  const attribute = node.attributes.get(`${branch}_branch`);
  return attribute?.kind === "graph" ? attribute.value : undefined;
}

function flatten(graph: Graph, node: Node): void {
  const stem = freshStem(graph, node.name || (node.outputs[0]?.name ?? "If"));
  const attributes: Record<string, Attribute> = {};
  const results = branches.flatMap((branch) => {
    const body = bodyOf(node, branch)!; // see nextIf
    const prefix = `${stem}.${branch}/`;
    attributes[`${branch}_prefix`] = string(prefix);
    attributes[`${branch}_name`] = string(body.name);
    if (body.extra) attributes[`${branch}_extra`] = { kind: "opaque", bytes: body.extra };
    return inlineBody(graph, body, {
      value: (name) => `${prefix}${name}`,
      node: (name, i) => `${prefix}${name || `#${i}`}`,
    });
  });
  const merge = graph.addNode({
    op: "Merge",
    domain: mergeDomain,
    name: node.name,
    inputs: [node.inputs[0], ...results],
    outputs: node.outputs.length,
    attributes: { ...attributes, named: int(node.name === "" ? 0 : 1) },
    ...(node.extra && { extra: node.extra }),
  });
  takeOver(graph, node, merge);
}

/** A stem that no name of the graph begins with. */
function freshStem(graph: Graph, wish: string): string {
  const names = [...graph.nodes().map(({ name }) => name), ...[...graph.values].map(({ name }) => name)];
  let stem = wish;
  for (let i = 2; names.some((name) => branches.some((branch) => name.startsWith(`${stem}.${branch}/`))); i++)
    stem = `${wish}_${i}`;
  return stem;
}

/** How the values and nodes of a branch are called in the graph around it. */
export interface InlinedNames {
  readonly value: (name: string) => string;
  readonly node: (name: string, index: number) => string;
}

/** Copies a branch into the graph around it; gives its outputs there. */
export function inlineBody(graph: Graph, body: Graph, names: InlinedNames): Value[] {
  const twins = new Map<Value, Value>();
  const outer = new Set(body.outer);
  for (const value of body.values) {
    const twin = outer.has(value)
      ? (graph.value(value.name) ?? graph.addOuter(value.name, value.type))
      : copyValue(graph, value, names.value(value.name));
    twins.set(value, twin);
  }
  const map = (value: Value | undefined): Value | undefined => value && twins.get(value);
  for (const [i, node] of body.sorted().entries()) {
    renameOuter(node, body, (name) => twins.get(body.value(name)!)!.name);
    graph.addNode({
      ...node,
      name: names.node(node.name, i),
      attributes: node.attributes,
      inputs: node.inputs.map(map),
      outputs: node.outputs.map(map),
    });
  }
  return body.outputs.map((value) => twins.get(value)!);
}

function copyValue(graph: Graph, value: Value, name: string): Value {
  if (value.sparse) return graph.addSparseInitializer(name, value.type!, value.sparse);
  const copy = value.data ? graph.addInitializer(name, value.data) : graph.addValue(name, value.type);
  if (value.declaration) copy.declaration = value.declaration;
  return copy;
}

/** Lets the subgraphs of a node that moves to another graph refer to the values' names there. */
function renameOuter(node: Node, from: Graph, nameOf: (name: string) => string): void {
  for (const attribute of node.attributes.values()) {
    if (attribute.kind !== "graph") continue;
    for (const value of attribute.value.outer) {
      if (from.value(value.name)) attribute.value.rename(value, nameOf(value.name));
    }
  }
}

/** Gives the outputs of `before`, with their names and types, to `after`, and removes `before`. */
function takeOver(graph: Graph, before: Node, after: Node): void {
  const old = before.outputs.map((value) => value && { ...value });
  before.outputs.forEach((value, i) => value && graph.replaceUses(value, after.outputs[i]!));
  graph.remove(before);
  old.forEach((value, i) => {
    if (!value) return;
    const output = after.outputs[i]!;
    graph.rename(output, value.name);
    output.type = value.type;
    if (value.declaration) output.declaration = value.declaration;
  });
}

/** Of a flat graph: what the names of all nodes of a node's branch begin with, the innermost; empty outside of branches. */
export function branchPrefixes(graph: Graph): (node: Node) => string {
  const prefixes = graph
    .nodes("Merge", mergeDomain)
    .flatMap((merge) => branches.map((branch) => stringAttribute(merge, `${branch}_prefix`, "")))
    .sort((a, b) => b.length - a.length);
  return ({ name }) => prefixes.find((prefix) => name.startsWith(prefix)) ?? "";
}

/** Puts the branches of a flat graph back into their Ifs. Returns the number of Ifs. */
export function restoreBranches(graph: Graph): number {
  // A branch within a branch was flattened later.
  const merges = graph.nodes("Merge", mergeDomain).toReversed();
  for (const merge of merges) restore(graph, merge);
  return merges.length;
}

function restore(graph: Graph, merge: Node): void {
  const count = (merge.inputs.length - 1) / 2;
  const members: Node[] = [];
  const attributes: Record<string, Attribute> = {};
  branches.forEach((branch, b) => {
    const prefix = stringAttribute(merge, `${branch}_prefix`, "");
    const own = graph.sorted().filter(({ name }) => name.startsWith(prefix));
    members.push(...own);
    const body = new Graph(stringAttribute(merge, `${branch}_name`, branch), graph.opsets);
    const extra = merge.attributes.get(`${branch}_extra`);
    if (extra?.kind === "opaque") body.extra = extra.bytes;
    const results = merge.inputs.slice(1 + b * count, 1 + (b + 1) * count);
    fillBody(graph, body, [own, merge], prefix, results);
    attributes[`${branch}_branch`] = { kind: "graph", value: body };
  });
  const node = graph.addNode({
    op: "If",
    name: merge.name,
    inputs: [merge.inputs[0]],
    outputs: count,
    attributes,
    ...(merge.extra && { extra: merge.extra }),
  });
  takeOver(graph, merge, node);
  for (const member of members.toReversed()) graph.remove(member);
  for (const value of graph.initializers) {
    const moved = branches.some((branch) =>
      value.name.startsWith(stringAttribute(merge, `${branch}_prefix`, "\0")),
    );
    if (moved && graph.uses(value).length === 0) graph.removeInitializer(value);
  }
}

/** Moves the nodes of a branch, and the constants that only they and the merge use, into its graph. */
function fillBody(
  graph: Graph,
  body: Graph,
  [own, merge]: readonly [readonly Node[], Node],
  prefix: string,
  results: readonly (Value | undefined)[],
): void {
  const members = new Set([...own, merge]);
  const made = new Set(own.flatMap(({ outputs }) => outputs));
  const twins = new Map<Value, Value>();
  const innerName = (value: Value): string => {
    const stripped = value.name.startsWith(prefix) ? value.name.slice(prefix.length) : value.name;
    // A name of a graph around would be hidden.
    return graph.value(stripped) || body.value(stripped) ? body.freshName(value.name) : stripped;
  };
  const twinOf = (value: Value): Value => {
    const known = twins.get(value);
    if (known) return known;
    const constant = (value.data ?? value.sparse) !== undefined && value.name.startsWith(prefix);
    const local =
      constant && !graph.isInput(value) && graph.uses(value).every(({ node }) => node && members.has(node));
    const twin =
      made.has(value) || local
        ? copyValue(body, value, innerName(value))
        : body.addOuter(value.name, value.type);
    twins.set(value, twin);
    return twin;
  };
  const map = (value: Value | undefined): Value | undefined => value && twinOf(value);
  for (const node of own) {
    for (const attribute of node.attributes.values()) {
      if (attribute.kind !== "graph") continue;
      for (const outer of attribute.value.outer) {
        const source = graph.value(outer.name);
        if (source) attribute.value.rename(outer, twinOf(source).name);
      }
    }
    const name = node.name.slice(prefix.length);
    body.addNode({
      ...node,
      name: /^#\d+$/.test(name) ? "" : name,
      inputs: node.inputs.map(map),
      outputs: node.outputs.map(map),
    });
  }
  for (const value of results) {
    if (!value) continue;
    const twin = twinOf(value);
    // A branch gives what it makes: runtimes refuse a value of the graph around it, or one value twice.
    const direct = body.producer(twin) && !body.outputs.includes(twin);
    body.addOutput(direct ? twin : body.addNode({ op: "Identity", inputs: [twin] }).outputs[0]!);
  }
}
