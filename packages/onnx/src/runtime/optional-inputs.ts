import { DgateError } from "@dgate/core";
import { gatesKey, parseGates } from "../gating/gate-record.ts";
import type { Tensor } from "../graph/tensor.ts";
import { graphFields, modelFields, tensorFields, valueInfoFields } from "../io/fields.ts";
import { OpaqueFields, ReadContext, readEntry } from "../io/read-context.ts";
import { readTensor } from "../io/read-tensor.ts";
import { WireReader } from "../proto/wire-reader.ts";
import { WireWriter } from "../proto/wire-writer.ts";

/** A model file in which some inputs have lost their defaults, and these. */
export interface OpenedInputs {
  readonly bytes: Uint8Array;
  readonly defaults: ReadonlyMap<string, Tensor>;
}

/**
 * Makes inputs with a default content ones that have to be fed. onnxruntime's JavaScript packages cannot feed an input that
 * has a default: the one for Node ignores such a feed, the one for the web refuses it. So the default moves from the file to
 * the caller, who feeds it where no other is given. Weights are not looked at; without such an input the file stays as it is.
 *
 * @param wanted names of inputs; by default the gates that the model says it has (`insertGates`)
 * @throws DgateError `OPTION` for a name that is no input with a default, `FORMAT` for a malformed file. Without `wanted`
 * that is left to the runtime, which reads other formats too.
 */
export function openInputs(bytes: Uint8Array, wanted?: readonly string[]): OpenedInputs {
  const untouched = { bytes, defaults: new Map<string, Tensor>() };
  try {
    const names = new Set(wanted ?? gateNames(bytes));
    if (names.size === 0) return untouched;
    const opened = withoutDefaults(bytes, names);
    const absent = [...names].find((name) => !opened.defaults.has(name));
    if (absent === undefined || wanted === undefined) return opened;
    throw new DgateError(
      "OPTION",
      `openRunner: optionalInputs names "${absent}", but the model has no input of that name with a default.`,
    );
  } catch (error) {
    if (wanted === undefined && error instanceof DgateError && error.code === "FORMAT") return untouched;
    throw error;
  }
}

function gateNames(bytes: Uint8Array): string[] {
  const metadata = new Map<string, string>();
  const reader = WireReader.of(bytes, "model");
  while (reader.next()) {
    if (reader.field === modelFields.metadata) readEntry(reader.message("metadata_props"), metadata);
  }
  const text = metadata.get(gatesKey);
  return text === undefined ? [] : parseGates(text).sites.flatMap(({ gates }) => gates);
}

function withoutDefaults(bytes: Uint8Array, names: ReadonlySet<string>): OpenedInputs {
  const defaults = new Map<string, Tensor>();
  const writer = new WireWriter();
  const reader = WireReader.of(bytes, "model");
  while (reader.next()) {
    if (reader.field !== modelFields.graph) writer.raw(reader.raw());
    else writer.message(modelFields.graph, graphWithout(reader.message("graph"), names, defaults));
  }
  return { bytes: defaults.size > 0 ? writer.finish() : bytes, defaults };
}

/** The graph without the initializers of inputs that are named; these go to `defaults`. */
function graphWithout(
  graph: WireReader,
  names: ReadonlySet<string>,
  defaults: Map<string, Tensor>,
): WireWriter {
  const context = new ReadContext(Infinity, undefined);
  const inputs = new Set<string>();
  const initializers = new Map<string, { readonly raw: Uint8Array; readonly tensor: Tensor }>();
  const rest = new OpaqueFields();
  while (graph.next()) {
    const { field } = graph;
    if (field === graphFields.input) inputs.add(nameOf(graph.message("input"), valueInfoFields.name));
    if (
      field === graphFields.initializer &&
      names.has(nameOf(graph.message("initializer"), tensorFields.name))
    ) {
      const { name, tensor } = readTensor(graph.message("initializer"), context, false);
      initializers.set(name, { raw: graph.raw(), tensor });
    } else rest.add(graph, context);
  }
  const writer = new WireWriter();
  for (const part of rest.parts) writer.raw(part);
  for (const [name, { raw, tensor }] of initializers) {
    if (inputs.has(name)) defaults.set(name, tensor);
    else writer.raw(raw);
  }
  return writer;
}

/** The text of a message's name field. */
function nameOf(message: WireReader, field: number): string {
  let name = "";
  while (message.next()) if (message.field === field) name = message.string();
  return name;
}
