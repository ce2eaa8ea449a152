import { DgateError } from "@dgate/core";
import type { Attribute } from "../graph/attribute.ts";
import type { ModelInfo, Node } from "../graph/types.ts";
import { WireReader } from "../proto/wire-reader.ts";
import { attributeFields, functionFields as fields, modelFields } from "./fields.ts";
import { readAttribute } from "./read-attribute.ts";
import { ReadContext } from "./read-context.ts";
import { type NodeDraft, normalDomain, readGraph, readNode } from "./read-graph.ts";
import { readOpset } from "./read.ts";

/** A function that a model brings along: an operator of its own, as nodes of other operators. */
export interface ModelFunction {
  /** `domain.name`, as tables name operators. */
  readonly key: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Values of attributes that a call leaves out. */
  readonly defaults: ReadonlyMap<string, Attribute>;
  readonly opsets: ReadonlyMap<string, number>;
  readonly nodes: readonly NodeDraft[];
  /** Chosen by a call's `overload`, which is not followed here. */
  readonly overload: string;
}

const functionsOf = new WeakMap<ModelInfo, ReadonlyMap<string, ModelFunction | DgateError>>();

/** The functions of a model by `key`; one that cannot be read is the error instead. */
export function modelFunctions(info: ModelInfo): ReadonlyMap<string, ModelFunction | DgateError> {
  const known = functionsOf.get(info) ?? readFunctions(info.opaque);
  functionsOf.set(info, known);
  return known;
}

/** The key of what a node calls. */
export function calledKey({ domain, op }: Pick<Node, "domain" | "op">): string {
  return domain === "" ? op : `${domain}.${op}`;
}

function readFunctions(opaque: readonly Uint8Array[]): Map<string, ModelFunction | DgateError> {
  const functions = new Map<string, ModelFunction | DgateError>();
  for (const part of opaque) {
    const reader = WireReader.of(part, "model");
    while (reader.next()) {
      if (reader.field !== modelFields.functions) continue;
      const key = readKey(reader.message("function"));
      try {
        functions.set(key, readFunction(reader.message(`function "${key}"`), key));
      } catch (error) {
        if (!(error instanceof DgateError)) throw error;
        functions.set(key, error);
      }
    }
  }
  return functions;
}

function readKey(reader: WireReader): string {
  let [domain, op] = ["", ""];
  while (reader.next()) {
    if (reader.field === fields.name) op = reader.string();
    else if (reader.field === fields.domain) domain = normalDomain(reader.string());
  }
  return calledKey({ domain, op });
}

/** Items of one function, as `maxItems` of `readModel` bounds a file's. */
const maxItems = 200_000;

function readFunction(reader: WireReader, key: string): ModelFunction {
  const context = new ReadContext(maxItems, undefined);
  const inputs: string[] = [];
  const outputs: string[] = [];
  const nodes: NodeDraft[] = [];
  const defaults = new Map<string, Attribute>();
  const opsets = new Map<string, number>();
  let overload = "";
  while (reader.next()) {
    context.count(reader);
    if (reader.field === fields.input) inputs.push(reader.string());
    else if (reader.field === fields.output) outputs.push(reader.string());
    else if (reader.field === fields.overload) overload = reader.string();
    else if (reader.field === fields.opsetImport) readOpset(reader.message("opset_import"), opsets);
    else if (reader.field === fields.node)
      nodes.push(readNode(reader.message(`node ${nodes.length}`), context, opsets));
    else if (reader.field === fields.attributeDefault) {
      const read = readAttribute(reader.message("attribute"), reader.bytes(), context, (inner) =>
        readGraph(inner, context, opsets, true),
      );
      defaults.set(read.name, read.attribute);
    }
  }
  return { key, inputs, outputs, defaults, opsets, nodes, overload };
}

/** The attribute of the call that an attribute of a function's node stands for; `undefined` for one with a value of its own. */
export function referenceOf(attribute: Attribute): string | undefined {
  if (attribute.kind !== "opaque") return undefined;
  const reader = WireReader.of(attribute.bytes, "attribute");
  while (reader.next()) if (reader.field === attributeFields.reference) return reader.string() || undefined;
  return undefined;
}
