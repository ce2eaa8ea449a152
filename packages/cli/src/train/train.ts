import { DgateError } from "@dgate/core";
import { directPenalty, gate, shrink } from "@dgate/tfjs";
import type * as tf from "@tensorflow/tfjs";
import type { Context } from "../io/context.ts";
import { prepareOutputs } from "../io/files.ts";
import { architecture, buildModel, checkSites, siteRules } from "./architectures.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { deploy, deployDense } from "./deploy.ts";
import type { SiteSummary, TrainDocument } from "./document.ts";
import { compile, fit, historyOf, type Observers, observersOf } from "./fit.ts";
import type { TrainRequest } from "./request.ts";
import { openSession, type Session, settingsOf } from "./session.ts";
import { outputNames, writeOutputs } from "./write-outputs.ts";

/**
 * The main job: a dense baseline, the gated network with the same steps, optimiser and schedule, collapse, pruning, export to ONNX,
 * proof and measurement in onnxruntime-web.
 *
 * @throws DgateError for whatever stands in the way; nothing is written unless everything held
 */
export async function train(request: TrainRequest, context: Context): Promise<TrainDocument> {
  const started = performance.now();
  checkRequest(request);
  const { out, method, force } = request;
  if (out === undefined) {
    context.progress.line("no -o: the report is printed, no file is kept");
    return trainFrom(started, request, context);
  }
  const undo = await prepareOutputs(out, outputNames(method), force);
  try {
    return await trainFrom(started, request, context);
  } catch (error) {
    await undo();
    throw error;
  }
}

async function trainFrom(started: number, request: TrainRequest, context: Context): Promise<TrainDocument> {
  const session = await openSession(request, context);
  const run = request.method === "dense" ? await trainDenseAlone(session) : await trainGated(session);
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  return writeOutputs({ ...run.document, seconds }, run.onnx, request.out);
}

/** A document that lacks what is known last, and the model's file. */
interface Trained {
  readonly document: Omit<TrainDocument, "seconds">;
  readonly onnx: Uint8Array;
}

function checkRequest({ resume, checkpoint, depth, lambda, arch, sites = [] }: TrainRequest): void {
  checkSites(arch, architecture(arch), sites);
  if (!Number.isInteger(depth) || depth < 2)
    throw new DgateError("OPTION", `--depth is ${depth}; give a whole number from 2 up.`);
  if (!(lambda >= 0 && lambda < Infinity))
    throw new DgateError("OPTION", `--lambda is ${lambda}; give a finite number of at least 0.`);
  if (resume && checkpoint === undefined) {
    throw new DgateError(
      "OPTION",
      "--resume: give --checkpoint DIR, the folder of the checkpoint to go on from.",
    );
  }
}

async function trainDenseAlone(session: Session): Promise<Trained> {
  const { model, observers } = await trainDense(session);
  const { size, onnx, score } = await deployDense(session, model);
  const groups = { total: 0, active: 0 };
  return {
    onnx,
    document: {
      ...commonFields(session, observers),
      accuracy: { dense: score, gated: null, pruned: null },
      groups,
      parameters: size.parameters,
      macs: size.macs,
      maxAbsDiff: null,
      before: size,
      after: size,
      sites: [],
      inputs: null,
      latency: null,
      warnings: [],
    },
  };
}

async function trainDense(session: Session): Promise<{ model: tf.LayersModel; observers: Observers }> {
  const model = buildModel(session.request.arch, session.task, session.request.seed);
  const observers = observersOf(session, false);
  compile(model, session);
  await fit(session, model, "dense", observers);
  return { model, observers };
}

async function trainGated(session: Session): Promise<Trained> {
  const { request } = session;
  const model = gatedModel(session);
  const observers = observersOf(session, true);
  compile(model, session);
  const checkpoint = await openCheckpoint(session, model, observers);
  const dense = request.withDense ? await checkpoint.once("dense", () => denseScore(session)) : null;
  await fit(
    session,
    model,
    request.method === "direct" ? "direct" : `D = ${request.depth}`,
    observers,
    checkpoint,
  );
  session.context.progress.line("pruning, exporting, comparing and measuring in onnxruntime-web");
  const shrunk = await shrink(model, { threshold: { relative: request.threshold }, seed: request.seed });
  const common = commonFields(session, observers);
  const deployed = await deploy(session, shrunk);
  const sites = siteSummaries(shrunk.report, common.history.at(-1)!.sites);
  return {
    onnx: deployed.onnx,
    document: {
      ...common,
      ...deployed.fields,
      accuracy: { dense, gated: observers.scores.records.at(-1)!.score, pruned: deployed.score },
      groups: {
        total: sites.reduce((sum, site) => sum + site.groups, 0),
        active: sites.reduce((sum, site) => sum + site.kept, 0),
      },
      sites,
      warnings: shrunk.report.warnings,
    },
  };
}

async function denseScore(session: Session): Promise<number> {
  const { observers } = await trainDense(session);
  return observers.scores.records.at(-1)!.score;
}

/** The gated network, or the same network under the direct penalty. It starts from the weights of the dense one. */
function gatedModel(session: Session): tf.LayersModel {
  const { arch, seed, depth, lambda, method, initialisation } = session.request;
  const plain = buildModel(arch, session.task, seed);
  const rules = siteRules(plain, session.sites);
  if (method === "direct") return directPenalty(plain, { lambda, rules });
  return gate(plain, { depth, lambda, rules, initialisation, seed });
}

function commonFields(session: Session, observers: Observers) {
  const { depth, lambda, method } = session.request;
  return {
    depth: method === "dense" ? null : depth,
    lambda: method === "dense" ? null : lambda,
    files: [],
    metric: session.task.kind === "classification" ? "accuracy" : "r2",
    settings: settingsOf(session),
    backend: session.backend,
    backendDetails: session.backendDetails,
    history: historyOf(session, observers),
  } as const satisfies Partial<TrainDocument>;
}

function siteSummaries(
  report: Awaited<ReturnType<typeof shrink>>["report"],
  last: TrainDocument["history"][number]["sites"],
): SiteSummary[] {
  return report.sites.map(({ site, kind, groups, active, near, threshold }) => ({
    site,
    kind,
    groups,
    kept: active,
    near,
    threshold,
    norms: last.find((record) => record.site === site)?.norms ?? [],
  }));
}
