import { DgateError } from "@dgate/core";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { bodyOf, inlineBody } from "./branches.ts";

/** Options of `selectBranch`. */
export interface SelectBranchOptions {
  /** The Boolean input that the branches hang on (default `use_cache_branch`, as in merged decoders). */
  readonly input?: string;
}

/**
 * A copy of a graph for one value of a Boolean input: every If on that input is replaced by the branch that it takes, and inputs that only
 * the other branch read are gone, the Boolean one among them. Of a merged decoder `false` gives the first step, a plain graph without pasts that can be
 * trained; `true` the later ones.
 *
 * Nodes and constants keep their names, so that what is found or learned in the copy has the names that it has in the whole.
 *
 * @throws DgateError `NO_MATCH` if the graph has no If on such an input
 */
export function selectBranch(
  graph: Graph,
  taken: boolean,
  { input = "use_cache_branch" }: SelectBranchOptions = {},
): Graph {
  const copy = graph.clone();
  const unread = new Set(copy.inputs.filter((value) => copy.uses(value).length === 0));
  const flag = copy.inputs.find(({ name }) => name === input);
  let edits = 0;
  for (let next = flag && nextChoice(copy, flag); next; next = nextChoice(copy, flag!)) {
    inlineTaken(copy, next.node, next.negated ? !taken : taken);
    edits += 1;
  }
  if (edits === 0) {
    const inputs = copy.inputs.map(({ name }) => name).join(", ");
    throw new DgateError(
      "NO_MATCH",
      `selectBranch: no If of the model hangs on an input "${input}"; its inputs are ${inputs}. Of a decoder that is not merged each file is one branch already.`,
    );
  }
  removeDeadCode(copy);
  for (const value of copy.inputs) {
    if (copy.uses(value).length === 0 && !unread.has(value)) copy.removeInput(value);
  }
  copy.sortNodes();
  return copy;
}

/** An If whose condition is the flag, moved or negated. */
function nextChoice(
  graph: Graph,
  flag: Value,
): { readonly node: Node; readonly negated: boolean } | undefined {
  for (const node of graph.nodes("If")) {
    const source = node.inputs[0] && sourceOf(graph, node.inputs[0]);
    if (source?.value === flag) return { node, negated: source.negated };
  }
  return undefined;
}

const moving = new Set(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Not"]);

function sourceOf(graph: Graph, value: Value): { readonly value: Value; readonly negated: boolean } {
  let at = value;
  let negated = false;
  for (;;) {
    const node = graph.producer(at);
    const source = node?.inputs[0];
    if (!node || !source || node.domain !== "" || !moving.has(node.op)) return { value: at, negated };
    if (node.op === "Not") negated = !negated;
    at = source;
  }
}

function inlineTaken(graph: Graph, node: Node, taken: boolean): void {
  const body = bodyOf(node, taken ? "then" : "else");
  if (!body)
    throw new DgateError(
      "FORMAT",
      `selectBranch: the If "${node.name}" lacks a branch; export the model again.`,
    );
  // The branch's results mostly have the names of the If's own, which are free then.
  const chosen = node.outputs.map((value) => value && { value, name: value.name, type: value.type });
  for (const own of chosen) if (own) graph.rename(own.value, graph.freshName(`${own.name}.chosen`));
  const results = inlineBody(graph, body, {
    value: (name) => (graph.value(name) ? graph.freshName(name) : name),
    node: (name) => name,
  });
  const given = chosen.map((own, i) => own && resultOf(graph, results[i]!, own));
  chosen.forEach((own, i) => own && graph.replaceUses(own.value, given[i]!));
  graph.remove(node);
  chosen.forEach(
    (own, i) => own && graph.outputs.includes(given[i]!) && takeName(graph, given[i]!, own.name),
  );
}

/** What stands for an output of the If: a graph output has a node of its own that writes it. */
function resultOf(
  graph: Graph,
  result: Value,
  { value, type }: Pick<Value, "type"> & { readonly value: Value },
): Value {
  const direct = graph.producer(result) && graph.uses(result).every(({ node }) => node);
  const found =
    graph.outputs.includes(value) && !direct
      ? graph.addNode({ op: "Identity", inputs: [result] }).outputs[0]!
      : result;
  if (!found.type?.shape && type) found.type = type;
  return found;
}

function takeName(graph: Graph, value: Value, name: string): void {
  const holder = graph.value(name);
  if (holder === value) return;
  if (holder) graph.rename(holder, graph.freshName(`${name}.inner`));
  graph.rename(value, name);
}
