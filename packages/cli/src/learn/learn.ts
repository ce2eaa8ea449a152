import { DgateError } from "@dgate/core";
import { type HeadGates, openHeadGates, type PrunedTransformer, type SiteGroup } from "@dgate/transformers";
import { type Context, stopIfAborted } from "../io/context.ts";
import { claimFolder } from "./claim-folder.ts";
import { inCommandWords } from "./command-words.ts";
import { documentOf, type LearnDocument } from "./document.ts";
import { type Examples, readExamples } from "./examples.ts";
import { tellLearning, tellLoading, tellSaving } from "./progress.ts";
import { filesOf, given, type LearnRequest } from "./request.ts";
import { userTransformers } from "./user-transformers.ts";

/**
 * Learns the gates of a model from a file, removes what they turned off and writes the smaller model as a folder.
 *
 * @throws DgateError for whatever stands in the way; nothing is written unless everything held
 */
export async function learn(request: LearnRequest, context: Context): Promise<LearnDocument> {
  const undo = await claimFolder(request.out, request);
  try {
    const data = await readExamples(request.data, request);
    const heldOut = await heldOutOf(request);
    stopIfAborted(context.signal, "learn");
    try {
      return await learnFrom(request, { data, heldOut }, context);
    } catch (error) {
      const heldOutPlaces = typeof heldOut === "object" ? heldOut.places : [];
      throw inCommandWords(error, `learn ${request.model}`, data.places, heldOutPlaces);
    }
  } catch (error) {
    await undo();
    throw error;
  }
}

interface Data {
  readonly data: Examples;
  /** A fraction, or those of a file of their own. */
  readonly heldOut: number | Examples | undefined;
}

async function heldOutOf(request: LearnRequest): Promise<Data["heldOut"]> {
  const { heldOut } = request;
  if (typeof heldOut !== "string") return heldOut;
  return readExamples(heldOut, { ...request, limit: undefined });
}

async function learnFrom(request: LearnRequest, data: Data, context: Context): Promise<LearnDocument> {
  const gates = await open(request, context);
  try {
    return await learnAndSave(gates, request, data, context);
  } finally {
    await gates.dispose();
    await gates.pipeline.dispose?.();
  }
}

const nouns: Readonly<Record<SiteGroup, string>> = {
  heads: "heads",
  ffn: "neurons",
  layers: "residual branches",
};

async function open(request: LearnRequest, context: Context): Promise<HeadGates> {
  const { model, depth, sites, dtype, task, threads } = request;
  const transformers = await userTransformers();
  const gates = await openHeadGates(model, {
    ...filesOf(request),
    ...given({ dtype, task, transformers }),
    depth,
    sites,
    threads,
    library: { progress_callback: tellLoading(context) },
  });
  const counts = sites.map((site) => {
    const blocks = gates.blocks.filter(({ group }) => group === site);
    const count = blocks.reduce((sum, { groups }) => sum + groups, 0);
    return `${count} ${nouns[site]}${site === "layers" ? "" : ` in ${blocks.length} layers`}`;
  });
  context.progress.line(`${model}: gates for ${counts.join(", ")}`);
  return gates;
}

async function learnAndSave(
  gates: HeadGates,
  request: LearnRequest,
  { data, heldOut: scored }: Data,
  context: Context,
): Promise<LearnDocument> {
  const heldOut = typeof scored === "object" ? scored.examples : scored;
  const { signal, progress } = context;
  const { target, train, seed, lambda, objective, steps, rounds, batch, learningRate, gateRate } = request;
  const { maxLength, minimum, even, latency, dim } = request;
  stopIfAborted(signal, "learn");
  const bounds = given({ minimum, even, dims: dim });
  const report = await gates.learn(data.examples, {
    ...given({ target, lambda, objective, steps, rounds, learningRate, gateRate, maxLength, heldOut }),
    ...given({ batchSize: batch }),
    ...bounds,
    train,
    seed,
    latency,
    onProgress: tellLearning(progress),
    signal,
  });
  if (gates.blocks.every(({ name, groups }) => (report.kept.get(name)?.length ?? groups) === groups)) {
    throw new DgateError("CHECK", `${report.warnings.join(" ")} Nothing was written.`);
  }
  const pruned = await gates.prune({ ...given({ dims: dim }), signal });
  const saved = await save(pruned, request, context);
  return documentOf({ request, data, report, pruned, saved });
}

function save(pruned: PrunedTransformer, { out, dtypes, fuse, force }: LearnRequest, context: Context) {
  return pruned.save(out, {
    ...given({ dtypes }),
    fuse: fuse ? "auto" : false,
    force,
    onProgress: tellSaving(context.progress),
    signal: context.signal,
  });
}
