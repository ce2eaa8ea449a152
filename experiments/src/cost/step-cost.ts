import { defineExperiment } from "../experiment.ts";
import { concludeSteps } from "./conclude-steps.ts";
import { measureSteps, type StepResult, type StepSetup } from "./measure-steps.ts";
import { networkNames } from "./networks.ts";
import { measureOnWebgpu } from "./on-swiftshader.ts";

type Place = Pick<StepSetup, "engine" | "backend">;

/** Backends that this repository installs and that run everywhere. */
const everywhere: readonly Place[] = [
  { engine: "tfjs", backend: "cpu" },
  { engine: "tfjs", backend: "wasm" },
  { engine: "onnxruntime", backend: "cpu" },
  { engine: "onnxruntime", backend: "wasm" },
];

/** Those that take a GPU or a package that is installed on demand. */
const elsewhere: readonly Place[] = [
  { engine: "tfjs", backend: "node" },
  { engine: "tfjs", backend: "node-gpu" },
  { engine: "tfjs", backend: "webgpu" },
  { engine: "onnxruntime", backend: "webgpu" },
];

export const stepCost = defineExperiment<StepSetup, StepResult>({
  name: "step-cost",
  family: "cost",
  alone: true,
  isAbsent: (result) => "absent" in result,
  title: "What a gated training step costs",
  claim:
    "D-Gating adds D − 1 numbers a group and a plain L2 penalty, so that a step costs little more than one without: SGD with momentum 0.9, one thread, gated " +
    "at D = 2, 3, 4 and plain steps in turns within one process. Plain training has no penalty at all, not even ordinary L2, so that the penalty is part of " +
    "the price.",
  version: 1,
  seeds: 1,
  setups: ({ quick, seeds }) =>
    (quick ? seeds.slice(0, 1) : seeds).flatMap((seed) =>
      (quick ? everywhere : [...everywhere, ...elsewhere]).flatMap(({ engine, backend }) =>
        networkNames
          // tfjs has no layer for attention.
          .filter((network) => engine === "onnxruntime" || network !== "gpt")
          .map((network) => {
            // Convolutions of tfjs's cpu backend would take a minute a step.
            const slow = engine === "tfjs" && backend === "cpu" && network === "cnn";
            return { seed, engine, backend, network, tiny: quick || slow, quick };
          }),
      ),
    ),
  measure: (setup) => (setup.backend === "webgpu" ? measureOnWebgpu(setup) : measureSteps(setup)),
  conclude: (runs) => concludeSteps(runs, everywhere),
});
