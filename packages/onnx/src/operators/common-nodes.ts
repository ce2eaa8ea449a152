import type { Attribute } from "../graph/attribute.ts";
import type { Graph, Node, NodeInit, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Operators that give something else each time. */
const drawing = new Set(["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]);
const alsoDrawing = new Set(["Bernoulli", "Multinomial", "Dropout"]);

type Attributes = NonNullable<NodeInit["attributes"]>;

const isMap = (attributes: Attributes): attributes is ReadonlyMap<string, Attribute> =>
  attributes instanceof Map;

type Call = Pick<NodeInit, "op" | "domain" | "inputs" | "attributes">;

/** The nodes of a graph by what they compute, so that nothing is computed twice. */
export class CommonNodes {
  readonly #nodes = new Map<string, Node>();
  readonly #identities = new Map<object, number>();
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** A node that computes the same and has at least as many outputs. */
  find(call: Call, outputs: number): Node | undefined {
    const key = this.#keyOf(call);
    const found = key === undefined ? undefined : this.#nodes.get(key);
    if (!found || found.outputs.length < outputs) return undefined;
    const written = found.outputs.slice(0, outputs);
    // A node that was removed since does not write its outputs any more.
    return written.every((value) => value && this.#graph.producer(value) === found) ? found : undefined;
  }

  add(node: Node): void {
    const key = this.#keyOf(node);
    if (key !== undefined) this.#nodes.set(key, node);
  }

  /** `undefined` for what must not be shared: random draws, and nodes with subgraphs. */
  #keyOf({ op, domain = "", inputs, attributes = {} }: Call): string | undefined {
    if (drawing.has(op) || alsoDrawing.has(op)) return undefined;
    const list = isMap(attributes) ? [...attributes] : Object.entries(attributes);
    if (list.some(([, { kind }]) => kind === "graph")) return undefined;
    const named = list.map(([name, attribute]) => `${name}=${this.#print(attribute)}`).sort();
    const read = inputs.map((value) => (value ? this.#identityOf(value) : ""));
    return [domain, op, read.join(), ...named].join("|");
  }

  #print(attribute: Attribute): string {
    if (attribute.kind === "tensor")
      return printTensor(attribute.value) ?? `#${this.#identityOf(attribute.value)}`;
    if (attribute.kind === "opaque") return `#${this.#identityOf(attribute.bytes)}`;
    return JSON.stringify([attribute.kind, attribute.value]);
  }

  #identityOf(object: object): number {
    const known = this.#identities.get(object);
    if (known !== undefined) return known;
    this.#identities.set(object, this.#identities.size);
    return this.#identities.size - 1;
  }
}

/** Constants of more bytes are the same only if they are one object. */
const comparedBytes = 4096;

function printTensor({ dtype, shape, bytes, strings }: Tensor): string | undefined {
  return strings || bytes.length > comparedBytes ? undefined : `${dtype}[${shape.join()}]${bytes.join()}`;
}

/**
 * Lets nodes that compute the same share their outputs; the one that writes more of them stays. Outputs of the graph keep their names. Returns
 * the number removed.
 */
export function mergeCommonNodes(graph: Graph): number {
  const common = new CommonNodes(graph);
  let edits = 0;
  for (const node of graph.sorted()) {
    const twin = common.find(node, 1);
    const [kept, gone] = twin && writes(twin, node) ? [twin, node] : [node, twin];
    const merges = gone !== undefined && writes(kept, gone) && namesFit(graph, kept, gone);
    if (merges) {
      merge(graph, kept, gone);
      edits += 1;
    }
    if (kept === node || !merges) common.add(node);
  }
  return edits;
}

/** Whether a node writes all outputs that another one does. */
const writes = (node: Node, other: Node): boolean =>
  other.outputs.every((value, i) => value === undefined || node.outputs[i] !== undefined);

const isOutput = (graph: Graph, value: Value | undefined): boolean =>
  value !== undefined && graph.uses(value).some((use) => use.node === undefined);

/** Whether no value would have to bear the names of two outputs of the graph. */
const namesFit = (graph: Graph, kept: Node, gone: Node): boolean =>
  gone.outputs.every((value, i) => !isOutput(graph, value) || !isOutput(graph, kept.outputs[i]));

function merge(graph: Graph, kept: Node, gone: Node): void {
  const bearers = gone.outputs.flatMap((value, i) => {
    const own = kept.outputs[i];
    if (!value || !own) return [];
    const bears = isOutput(graph, value);
    graph.replaceUses(value, own);
    return bears ? [[own, value] as const] : [];
  });
  graph.remove(gone);
  for (const [own, { name, type, declaration }] of bearers) {
    graph.rename(own, name);
    own.type = type ?? own.type;
    if (declaration) own.declaration = declaration;
  }
}
