import { DgateError } from "@dgate/core";
import { Graph } from "../graph/graph.ts";
import { isTarget } from "./steering.ts";
import type { FitOptions, TrainerOptions } from "./trainer-options.ts";

const trainerOptions = {
  loss: true,
  teacher: true,
  sites: true,
  gate: true,
  roles: true,
  depth: true,
  penalty: true,
  lambda: true,
  train: true,
  freeze: true,
  initial: true,
  groupWeights: true,
  optimizer: true,
  learningRate: true,
  gateRate: true,
  clipNorm: true,
  updates: true,
  provider: true,
  threads: true,
  ort: true,
  wasmPaths: true,
  session: true,
} as const satisfies Record<keyof TrainerOptions, true>;

const fitOptions = {
  steps: true,
  signal: true,
  onProgress: true,
  checkpoint: true,
} as const satisfies Record<keyof FitOptions, true>;

const choices = {
  train: ["gates", "groups", "all"],
  updates: ["graph", "host"],
  penalty: ["smooth", "sparse", "proximal"],
} as const;

/**
 * Looks at the options of `openTrainer` that nothing else looks at.
 * @throws DgateError `OPTION`
 */
export function checkTrainerOptions(model: unknown, options: TrainerOptions): void {
  if (!(model instanceof Graph))
    refuse("the model", typeof model, "a Graph: readModel makes one of a file's bytes");
  checkNames("openTrainer", options, trainerOptions);
  const { loss, optimizer } = options;
  if (typeof loss?.emit !== "function") refuse("loss", typeof loss, "a loss, such as crossEntropy()");
  if (optimizer && typeof optimizer.emit !== "function")
    refuse("optimizer", typeof optimizer, "one, such as adam()");
  checkNamesOfSites(options);
  checkGroupWeights(options.groupWeights);
  checkFrozen(model, options);
  for (const name of ["train", "updates", "penalty"] as const) {
    const value = options[name];
    const known: readonly string[] = choices[name];
    if (value !== undefined && !known.includes(value)) refuse(name, value, `one of ${known.join(", ")}`);
  }
  const { clipNorm, lambda } = options;
  if (clipNorm !== undefined && !(clipNorm > 0)) refuse("clipNorm", clipNorm, "a positive number");
  if (isTarget(lambda)) checkCount("lambda.every", lambda.every, 1);
  checkPenalty(options);
}

/** What cannot go together. */
function checkPenalty(options: TrainerOptions): void {
  const { penalty = "smooth", gate, train, updates, lambda, depth = 2 } = options;
  const idle = (names: readonly (keyof TrainerOptions)[], why: string): void => {
    const given = names.find((name) => options[name] !== undefined);
    if (given !== undefined) refuse(given, "given", `left out, for ${why}`);
  };
  if (gate === "none") {
    idle(["depth", "groupWeights", "initial", "gateRate", "roles", "sites"], 'gate is "none"');
    if (train !== undefined && train !== "all") refuse("train", train, 'all, for gate is "none"');
    if (penalty !== "smooth")
      refuse("penalty", penalty, 'left out, for gate is "none" and there are no groups');
    if (isTarget(lambda))
      refuse("lambda", "a target", 'left out, for gate is "none" and there are no groups');
  }
  if (penalty === "smooth") return;
  idle(["initial", "gateRate"], `penalty "${penalty}" has no gates`);
  if (train === "gates") refuse("train", train, `groups or all, for penalty "${penalty}" has no gates`);
  if (penalty === "sparse") return;
  if (updates === "graph") refuse("updates", updates, 'host, where penalty "proximal" is applied');
  if (![2, 3, 4].includes(depth))
    refuse("depth", depth, '2, 3 or 4, for which penalty "proximal" has a closed form');
}

function checkFrozen(model: Graph, { freeze, train, gate }: TrainerOptions): void {
  if (freeze === undefined) return;
  if (!Array.isArray(freeze)) refuse("freeze", typeof freeze, "names of constants of the model");
  if (freeze.length > 0 && (train ?? (gate === "none" ? "all" : "groups")) !== "all")
    refuse(
      "freeze",
      `given with train "${train ?? "groups"}"`,
      'left out, for only train "all" trains what is in no group',
    );
  const unknown = freeze.find((name) => !model.value(name)?.data);
  if (unknown !== undefined) refuse("freeze", `"${unknown}"`, "the name of a constant of the model");
}

function checkGroupWeights(weights: TrainerOptions["groupWeights"]): void {
  if (weights === undefined || weights === "none" || weights === "sqrt-size") return;
  const isTable = typeof weights === "object" && weights !== null;
  const bad = isTable
    ? Object.entries(weights).find(([, weight]) => !(weight >= 0 && weight < Infinity))
    : undefined;
  if (isTable && !bad) return;
  refuse(
    bad ? `groupWeights["${bad[0]}"]` : "groupWeights",
    bad ? bad[1] : weights,
    bad ? "a number of at least 0" : "one of none, sqrt-size, or a number for each site",
  );
}

/**
 * Looks at the options of `Trainer.fit`.
 * @throws DgateError `OPTION`
 */
export function checkFitOptions(options: FitOptions): void {
  const { steps, checkpoint } = options;
  checkNames("fit", options, fitOptions);
  checkCount("steps", steps, 0);
  if (checkpoint === undefined) return;
  if (typeof checkpoint.save !== "function")
    refuse("checkpoint", typeof checkpoint, "{ every: STEPS, save: FUNCTION }");
  checkCount("checkpoint.every", checkpoint.every ?? Number.NaN, 1);
}

/** A slip in a name would leave a default in force. */
function checkNames(where: string, options: object | undefined, known: Readonly<Record<string, true>>): void {
  if (typeof options !== "object" || options === null)
    refuse(`the second argument of ${where}`, typeof options, "options");
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  throw new DgateError(
    "OPTION",
    `train: ${where} has no option "${unknown}"; there are ${Object.keys(known).join(", ")}.`,
  );
}

function checkNamesOfSites({ sites, gate }: TrainerOptions): void {
  const whole =
    sites === undefined || (Array.isArray(sites) && sites.every((site) => typeof site === "object"));
  if (!whole) refuse("sites", typeof sites, "the list that findSites gives; choose of it by gate");
  const names =
    gate === undefined ||
    gate === "none" ||
    (Array.isArray(gate) && gate.every((name) => typeof name === "string"));
  if (!names) refuse("gate", typeof gate, 'names or kinds of sites, such as ["heads"], or "none"');
}

function checkCount(name: string, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
  refuse(name, value, `a whole number of at least ${least}`);
}

function refuse(name: string, value: unknown, expected: string): never {
  throw new DgateError("OPTION", `train: ${name} is ${String(value)}, expected ${expected}.`);
}
