import { DgateError } from "@dgate/core";
import { countCosts, writeModel } from "@dgate/onnx";
import { type HeadGates, inspectModel, isModelId, openHeadGates } from "@dgate/transformers";
import { threadsOfPage } from "../ui/ort-runtime.ts";
import { runtimeJob } from "../ui/runtime-job.ts";
import type { Job } from "../ui/use-jobs.tsx";
import type { ModelFacts, ModelSource } from "./heads.ts";
import { hubFetch } from "./hub-files.ts";
import { onOurRuntime, type StartedLibrary, startLibrary } from "./library.ts";
import { blobsOf, findModelFolder, MemoryFolders } from "./memory-files.ts";
import { smallModelFiles } from "./small-model.ts";
import { trainSmallModel } from "./small-training.ts";

const builtInName = "film-opinions";

/** What was opened, before anything is asked of it. */
export interface OpenedModel {
  readonly library: StartedLibrary;
  readonly memory: MemoryFolders;
  readonly gates: HeadGates;
  readonly facts: Omit<ModelFacts, "accuracy">;
  readonly subfolder: string;
  readonly builtIn: boolean;
}

/**
 * Opens a model, and trains the built-in one first.
 *
 * @throws DgateError as `openHeadGates`; `IO` for a folder that is none of a model, a hub that cannot be reached
 */
export async function openModel(source: ModelSource, onJob: (job: Job) => void): Promise<OpenedModel> {
  const memory = new MemoryFolders();
  // Of a small model threads cost more than they bring.
  const threads = source.kind === "built-in" ? 1 : threadsOfPage();
  const folder = source.kind === "folder" ? findModelFolder(source.files) : undefined;
  if (source.kind === "hub" && !isModelId(source.id)) {
    throw new DgateError(
      "OPTION",
      `"${source.id}" is no model id: it has the form owner/name, as Xenova/distilbert-base-uncased-finetuned-sst-2-english.`,
    );
  }
  onJob({ text: "Fetching onnxruntime-web", part: undefined });
  const library = await startLibrary(threads, (loaded, total) => onJob(runtimeJob(loaded, total)));
  const common = { library, memory, threads, onJob };
  switch (source.kind) {
    case "built-in": {
      const graph = await trainSmallModel(library.ort, {
        onProgress: (step, steps, loss) =>
          onJob({
            text: `Training the small model: step ${step} of ${steps}, loss ${loss.toFixed(3)}`,
            part: step / steps,
          }),
      });
      memory.put(
        builtInName,
        blobsOf(Object.entries({ ...smallModelFiles(), "onnx/model.onnx": writeModel(graph) })),
      );
      fromMemory(library, memory);
      return openNamed(builtInName, { ...common, builtIn: true });
    }
    case "folder":
      memory.put(folder!.name, folder!.files);
      fromMemory(library, memory);
      return openNamed(folder!.name, { ...common, subfolder: folder!.subfolder });
    default: {
      const { env } = library.transformers;
      env.allowLocalModels = false;
      env.allowRemoteModels = true;
      env.useBrowserCache = "caches" in globalThis;
      env.fetch = await hubFetch(env.remoteHost, source.id, (file, loaded, total) =>
        onJob({ text: `Downloading ${file}`, part: total === undefined ? undefined : loaded / total }),
      );
      return openNamed(source.id, { ...common, ...(source.dtype === "q8" && { dtype: "q8" as const }) });
    }
  }
}

interface NamedOptions extends Pick<OpenedModel, "library" | "memory"> {
  readonly threads: number;
  readonly subfolder?: string;
  readonly dtype?: "q8";
  readonly builtIn?: boolean;
  readonly onJob: (job: Job) => void;
}

/** Opens a model by its name, once its files are where the library looks. */
async function openNamed(
  name: string,
  { library, memory, threads, subfolder = "onnx", dtype, builtIn = false, onJob }: NamedOptions,
): Promise<OpenedModel> {
  onJob({ text: "Opening the model and looking for its heads", part: undefined });
  const { transformers } = library;
  const files = { transformers, subfolder, ...(dtype && { dtype }) };
  const gates = await openHeadGates(name, { ...files, threads, library: onOurRuntime }).catch(
    (error: unknown) => {
      throw explained(error);
    },
  );
  const inspected = await inspectModel(name, { ...files, folder: false });
  const costs = inspected.files.map(({ graph, dims }) => countCosts(graph, dims));
  return {
    library,
    memory,
    gates,
    subfolder,
    builtIn,
    facts: {
      name,
      task: gates.pipeline.task,
      layers: gates.heads.blocks.map((block) => ({ name: block.name, heads: block.groups })),
      ungated: gates.findings.flatMap(({ group, name: place, gated }) =>
        group === "heads" && gated !== true ? [[place, gated] as const] : [],
      ),
      parameters: costs.reduce((sum, { parameters }) => sum + parameters, 0),
      bytes: inspected.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      dtype: inspected.dtype,
      threads,
      mask: maskOf(gates),
    },
  };
}

/** @returns undefined where the tokenizer has no mask */
function maskOf({ pipeline }: HeadGates): string | undefined {
  // What transformers.js reads from the tokenizer's settings.
  const { mask_token: mask } = (pipeline.tokenizer ?? {}) as { readonly mask_token?: unknown };
  return typeof mask === "string" ? mask : undefined;
}

/** An error of opening with what to do about it here. */
function explained(error: unknown): unknown {
  if (!(error instanceof DgateError)) return error;
  const { code, message } = error;
  switch (code) {
    case "NO_MATCH":
      return new DgateError(
        code,
        `${message} Take a model with attention; other layers are pruned on the page Deploy.`,
        { cause: error },
      );
    case "FORMAT":
      return new DgateError(code, `${message} Download the file again and open it anew.`, { cause: error });
    default:
      return error;
  }
}

/**
 * Lets transformers.js read what is in memory, and nothing else.
 * @returns puts its settings back
 */
export function fromMemory({ transformers: { env } }: StartedLibrary, memory: MemoryFolders): () => void {
  const { allowLocalModels, allowRemoteModels, localModelPath, useBrowserCache, fetch: before } = env;
  Object.assign(env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: memory.path,
    useBrowserCache: false,
    fetch: async (address: string | URL, init?: RequestInit): Promise<Response> =>
      memory.answer(String(address), init?.method) ?? new Response(null, { status: 404 }),
  });
  return () =>
    Object.assign(env, {
      allowLocalModels,
      allowRemoteModels,
      localModelPath,
      useBrowserCache,
      fetch: before,
    });
}
