import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import { type Dtype, type InspectedModel, inspectModel } from "@dgate/transformers";
import { exists } from "../io/files.ts";
import { inCommandWords } from "../learn/command-words.ts";
import { filesOf, given } from "../learn/request.ts";
import { userTransformers } from "../learn/user-transformers.ts";
import { type InspectDocument, type InspectedGraph, inspectGraph } from "./inspect-file.ts";
import type { ModelArgument } from "./model-argument.ts";
import { checkDims } from "./model-file.ts";

/** Options of `inspectFolder`. */
interface FolderFlags {
  readonly revision?: string;
  readonly subfolder?: string;
  readonly cacheDir?: string;
  readonly local: boolean;
  readonly dtype?: string;
  readonly dims: Readonly<Record<string, number>>;
}

/** Counts of a model folder, or of a model of the hub: of all files that a pipeline opens together. */
export async function inspectFolder(
  { model, path, kind }: ModelArgument & { readonly model: string },
  flags: FolderFlags,
): Promise<InspectDocument> {
  const folder = kind === "folder";
  if (folder && !(await exists(join(path, "config.json")))) await refuseFolder(model, path);
  const found = await readFolder(model, path, folder, flags);
  for (const { path: name, graph, sizeBytes } of found.files) {
    checkDims({ path: join(model, name), graph, model: graph, sizeBytes }, flags.dims);
  }
  const graphs = found.files.map(({ graph, dims }) => inspectGraph(graph, dims));
  return documentOf(model, found, graphs);
}

async function readFolder(
  model: string,
  path: string,
  folder: boolean,
  flags: FolderFlags,
): Promise<InspectedModel> {
  try {
    const transformers = folder ? undefined : await userTransformers();
    return await inspectModel(path, {
      ...filesOf(flags),
      ...given({ transformers }),
      ...(flags.dtype !== undefined && { dtype: flags.dtype as Dtype }), // the option's choices are its names
      dims: flags.dims,
      folder,
    });
  } catch (error) {
    throw inCommandWords(error, `inspect ${model}`);
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function documentOf(
  model: string,
  { files, task, dtype }: InspectedModel,
  graphs: readonly InspectedGraph[],
): InspectDocument {
  const operators: Record<string, number> = {};
  for (const graph of graphs) {
    for (const [op, count] of Object.entries(graph.operators)) operators[op] = (operators[op] ?? 0) + count;
  }
  return {
    path: model,
    parameters: sum(graphs.map(({ parameters }) => parameters)),
    macs: sum(graphs.map(({ macs }) => macs)),
    dims: Object.assign({}, ...files.map(({ dims }) => dims)) as Record<string, number>, // its parts are
    assumed: [...new Set(graphs.flatMap(({ assumed }) => assumed))],
    bytes: sum(files.map(({ sizeBytes }) => sizeBytes)),
    operators,
    sites: graphs.flatMap(({ sites }) => sites),
    attention: graphs.flatMap(({ attention }) => attention),
    task: task ?? null,
    dtype,
    files: files.map(({ path, sizeBytes }, i) => {
      return { path, parameters: graphs[i]!.parameters, macs: graphs[i]!.macs, bytes: sizeBytes };
    }),
    blocks: files.flatMap(({ blocks }) =>
      blocks.map(({ name, group, file, layer, groups }) => {
        return { site: name, kind: group, file, layer, groups };
      }),
    ),
    notGated: files.flatMap(({ findings }) =>
      findings.flatMap(({ name, group, gated }) =>
        gated === true ? [] : [{ kind: group, place: name, reason: gated }],
      ),
    ),
  };
}

/** A folder that is no model: the ONNX file in it is named, if there is one. */
async function refuseFolder(model: string, path: string): Promise<never> {
  const file = (await readdir(path)).find((name) => name.endsWith(".onnx"));
  throw new DgateError(
    "IO",
    `inspect ${model}: the folder has no config.json, so it is no model folder; ${
      file === undefined ? "give one that has" : `give a file of it: ${join(model, file)}`
    }.`,
  );
}
