import { DgateError } from "@dgate/core";
import type { SiteKind, SiteRule } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import type { Task } from "../data/task.ts";

/** A network of the command line: how it sees an input, its layers and what may be gated in it. */
export interface Architecture {
  /** `flat` takes rows of numbers, `image` takes [height, width, channels]. */
  readonly input: "flat" | "image";
  /** Sites that are gated if `--sites` says nothing. */
  readonly sites: readonly SiteKind[];
  /** Sites that it has at all. */
  readonly offers: readonly SiteKind[];
  /** Its hidden layers; the output layer follows. */
  readonly hidden: (seed: () => number) => tf.layers.Layer[];
}

/** Hidden layers by the value of `--arch`. */
const architectures: Readonly<Record<string, Architecture>> = {
  "lenet-300-100": mlp([300, 100], fanInUniform),
  "lenet-5": {
    input: "image",
    sites: ["filters", "neurons"],
    offers: ["filters", "neurons"],
    hidden: (seed) => [
      convolution("conv1", 6, "same", seed()),
      tf.layers.maxPooling2d({ name: "pool1", poolSize: 2 }),
      convolution("conv2", 16, "valid", seed()),
      tf.layers.maxPooling2d({ name: "pool2", poolSize: 2 }),
      tf.layers.flatten({ name: "flatten" }),
      dense("hidden1", 120, seed()),
      dense("hidden2", 84, seed()),
    ],
  },
};

/** What `--arch` takes, for messages. */
const archNames = "lenet-300-100, lenet-5, mlp (64-32) or mlp:WIDTH-WIDTH-…";

/**
 * The architecture that `--arch` names; `mlp:128-64` is a multilayer perceptron of these hidden widths.
 *
 * @throws DgateError `OPTION` for an unknown name or impossible widths
 */
export function architecture(name: string): Architecture {
  if (Object.hasOwn(architectures, name)) return architectures[name]!;
  const widths = /^mlp(?::(\d{1,5}(?:-\d{1,5})*))?$/.exec(name);
  const parsed = widths && (widths[1] ?? "64-32").split("-").map(Number);
  if (parsed?.every((width) => width > 0)) return mlp(parsed);
  throw new DgateError("OPTION", `--arch ${name}: expected ${archNames}.`);
}

/**
 * Refuses sites that the architecture lacks, before data and backend are there.
 *
 * @throws DgateError `OPTION`
 */
export function checkSites(name: string, { offers }: Architecture, kinds: readonly SiteKind[]): void {
  const missing = kinds.find((kind) => !offers.includes(kind));
  if (missing === undefined) return;
  throw new DgateError(
    "OPTION",
    `--sites ${missing}: ${name} has no such site; it has ${offers.join(", ")}.`,
  );
}

function mlp(widths: readonly number[], start: Start = heNormal): Architecture {
  return {
    input: "flat",
    sites: ["neurons"],
    offers: ["neurons", "inputs"],
    hidden: (seed) => widths.map((units, i) => dense(`hidden${i + 1}`, units, seed(), start)),
  };
}

function dense(name: string, units: number, seed: number, start: Start = heNormal): tf.layers.Layer {
  const kernelInitializer = start(seed);
  return tf.layers.dense({ name, units, activation: "relu", kernelInitializer });
}

function convolution(
  name: string,
  filters: number,
  padding: "same" | "valid",
  seed: number,
): tf.layers.Layer {
  const kernelInitializer = heNormal(seed);
  return tf.layers.conv2d({ name, filters, kernelSize: 5, padding, activation: "relu", kernelInitializer });
}

/** How kernels are drawn. */
type Start = (seed: number) => ReturnType<typeof tf.initializers.heNormal>;

/** Keeps the variance through ReLU layers: small networks and short trainings need the signal. */
function heNormal(seed: number): ReturnType<Start> {
  return tf.initializers.heNormal({ seed });
}

/** Uniform in ±1/√(inputs of a unit), the usual start of LeNet-300-100 in the pruning literature. */
function fanInUniform(seed: number): ReturnType<Start> {
  return tf.initializers.varianceScaling({ scale: 1 / 3, mode: "fanIn", distribution: "uniform", seed });
}

/** Shape of one input as the architecture sees it. */
export function inputShape({ input }: Architecture, task: Task, name: string): number[] {
  if (input === "flat") return [task.inputShape.reduce((a, b) => a * b, 1)];
  if (task.inputShape.length === 3) return [...task.inputShape];
  throw new DgateError(
    "OPTION",
    `--arch ${name}: takes images, but ${task.name} has rows of ${task.inputShape.join(" × ")} numbers; use --arch mlp.`,
  );
}

/**
 * Builds a network for a task, its weights drawn from the seed. The output layer gives logits (one per class) or, for a regression,
 * the value.
 */
export function buildModel(name: string, task: Task, seed: number): tf.Sequential {
  const arch = architecture(name);
  let count = 0;
  const nextSeed = (): number => seed * 1000 + ++count;
  const model = tf.sequential({ name: name.replace(/[^\w-]/g, "-") });
  model.add(tf.layers.inputLayer({ name: "input", inputShape: inputShape(arch, task, name) }));
  for (const layer of arch.hidden(nextSeed)) model.add(layer);
  const kernelInitializer = fanInUniform(nextSeed());
  model.add(tf.layers.dense({ name: "output", units: task.outputs, kernelInitializer }));
  return model;
}

/**
 * Rules for `gate` that choose the given kinds of sites: each layer that offers some of them gets those; the others stay plain. Input features
 * (`inputs`) are those of the network alone: the first layer's rows.
 *
 * @throws DgateError `OPTION` for a kind that the network has nowhere
 */
export function siteRules(model: tf.LayersModel, kinds: readonly SiteKind[]): SiteRule[] {
  const wanted = new Set(kinds);
  const used = new Set<SiteKind>();
  const weighted = model.layers.filter((layer) => layer.weights.length > 0);
  const rules = weighted.map((layer, i): SiteRule => {
    const offered = offeredSites(layer, i === 0, i === weighted.length - 1).filter((kind) =>
      wanted.has(kind),
    );
    for (const kind of offered) used.add(kind);
    return { layer: layer.name, site: offered.length > 0 ? offered : "none" };
  });
  const missing = kinds.find((kind) => !used.has(kind));
  if (missing) {
    throw new DgateError(
      "OPTION",
      `--sites ${missing}: ${model.name} has no such site; it has ${offerOf(weighted).join(", ")}.`,
    );
  }
  return rules;
}

function offeredSites(layer: tf.layers.Layer, first: boolean, last: boolean): SiteKind[] {
  const className = layer.getClassName();
  if (className === "Conv2D") return ["filters"];
  if (className !== "Dense") return [];
  return [...(last ? [] : (["neurons"] as const)), ...(first ? (["inputs"] as const) : [])];
}

const offerOf = (layers: readonly tf.layers.Layer[]): SiteKind[] => [
  ...new Set(layers.flatMap((layer, i) => offeredSites(layer, i === 0, i === layers.length - 1))),
];
