import { DgateError } from "@dgate/core";
import type { Attribute } from "../graph/attribute.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import { nodeName } from "../coupling/analyse.ts";
import { calledFunction } from "../ops/called-function.ts";
import { type ModelFunction, modelFunctions, referenceOf } from "../io/read-function.ts";
import type { NodeDraft } from "../io/read-graph.ts";

/** Functions of functions can stand for more nodes than any memory holds; calls past this many nodes stay calls. */
const maxNodes = 100_000;

/**
 * A copy of a graph in which calls of the model's own functions are replaced by the functions' nodes, so that analysis and
 * pruning see them. Calls that cannot be replaced stay, and `callReason` says why. Outputs are the same to the bit.
 *
 * @throws DgateError `FORMAT` for a function that calls itself or does not write one of its outputs
 */
export function inlineFunctions(graph: Graph): Graph {
  const copy = graph.clone();
  inlineInPlace(copy);
  return copy;
}

/** As `inlineFunctions`, in the graph itself. Returns the number of calls that were replaced. */
export function inlineInPlace(graph: Graph): number {
  if (modelFunctions(graph.info).size === 0) return 0;
  let edits = 0;
  let added = 0;
  // Each call with the functions that it comes from.
  const calls = graph.nodes().map((node) => ({ node, within: [] as readonly string[] }));
  for (let call = calls.pop(); call; call = calls.pop()) {
    const { node, within } = call;
    const body = calledFunction(graph, node);
    if (typeof body !== "object" || added + body.nodes.length > maxNodes) continue;
    if (within.includes(body.key)) {
      throw new DgateError(
        "FORMAT",
        `${describeNode(node)}: function "${body.key}" calls itself (${[...within, body.key].join(" → ")}).`,
      );
    }
    added += body.nodes.length;
    edits += 1;
    for (const inner of inlineCall(graph, node, body))
      calls.push({ node: inner, within: [...within, body.key] });
  }
  if (edits > 0) graph.sortNodes();
  return edits;
}

/** Puts a function's nodes in the place of a call; returns them. The call's results keep names, types and uses. */
function inlineCall(graph: Graph, call: Node, body: ModelFunction): Node[] {
  const prefix = nodeName(call);
  const values = new Map<string, Value | undefined>(body.inputs.map((name, i) => [name, call.inputs[i]]));
  values.set("", undefined);
  const written = body.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== "");
  for (const name of written) values.set(name, graph.addValue(graph.freshName(`${prefix}/${name}`)));
  const valueOf = (name: string): Value | undefined => {
    if (values.has(name)) return values.get(name);
    throw new DgateError("FORMAT", `function "${body.key}" reads "${name}", which nothing in it writes.`);
  };
  const nodes = body.nodes.map((draft) =>
    graph.addNode({
      op: draft.op,
      domain: draft.domain,
      name: `${prefix}/${draft.name || draft.op}`,
      inputs: draft.inputs.map(valueOf),
      outputs: draft.outputs.map(valueOf),
      attributes: attributesOf(draft, call, body),
      ...(draft.extra && { extra: draft.extra }),
    }),
  );
  // What passes through, or is given twice, needs a value of its own.
  const free = new Set(written);
  const results = call.outputs.flatMap((result, i) => {
    if (!result) return [];
    const output = body.outputs[i] ?? "";
    const inner = valueOf(output);
    if (!inner)
      throw new DgateError("FORMAT", `function "${body.key}" has no output ${i}, which a call uses.`);
    const own = free.delete(output)
      ? inner
      : graph.addNode({ op: "Identity", name: `${prefix}/output_${i}`, inputs: [inner] }).outputs[0]!;
    graph.replaceUses(result, own);
    own.type = result.type;
    if (result.declaration) own.declaration = result.declaration;
    return [{ own, name: result.name }];
  });
  graph.remove(call);
  for (const { own, name } of results) graph.rename(own, name);
  for (const [domain, version] of body.opsets)
    if (!graph.opsets.has(domain)) graph.opsets.set(domain, version);
  return nodes;
}

/** The attributes of a function's node; those that stand for one of the call take its value, or go where it has none. */
function attributesOf({ attributes }: NodeDraft, call: Node, body: ModelFunction): Map<string, Attribute> {
  const own = new Map<string, Attribute>();
  for (const [name, attribute] of attributes) {
    const reference = referenceOf(attribute);
    const value =
      reference === undefined ? attribute : (call.attributes.get(reference) ?? body.defaults.get(reference));
    if (value) own.set(name, value);
  }
  return own;
}
