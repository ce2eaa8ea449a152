// Cost of gating: a step of LeNet-300-100 with both hidden layers gated at D = 3, against a step of the plain network
// with ordinary L2 on the same weights. One process, steps taken in turns. On wasm with the improved kernels, or on the
// backend that DGATE_BACKEND names.
import * as tf from "@tensorflow/tfjs";
import { describeBackend, gate, useBackend } from "@dgate/tfjs";
import { lenet300, median, randomBatch, timeStep } from "./networks.mjs";

const batch = 128;
const depth = 3;
const lambda = 1e-4;
const warmUpSteps = 10;
const steps = 150;

const choice = await useBackend(process.env.DGATE_BACKEND || "wasm");
const data = randomBatch(batch);
const rules = [
  { layer: /^fc/, site: "neurons" },
  { layer: "out", site: "none" },
];
const models = {
  plain: lenet300(lambda),
  gated: gate(lenet300(), { depth, lambda, rules }),
};
for (const model of Object.values(models)) {
  model.compile({ optimizer: tf.train.sgd(0.05), loss: "categoricalCrossentropy" });
}
const times = { plain: [], gated: [] };
for (let step = 0; step < warmUpSteps + steps; step += 1) {
  for (const [name, model] of Object.entries(models)) {
    const { ms } = await timeStep(model, data);
    if (step >= warmUpSteps) times[name].push(ms);
  }
}
console.log(`LeNet-300-100, SGD, batch ${batch}, ${describeBackend(choice)}: ms a step`);
for (const [name, values] of Object.entries(times)) {
  const label = name === "gated" ? `gated, D = ${depth}` : "plain, with L2";
  console.log(
    `  ${label.padEnd(15)} median ${median(values).toFixed(2)}  min ${Math.min(...values).toFixed(2)}`,
  );
}
// Neighbouring steps see the same machine: the median of their ratios is steadier than a ratio of medians.
const ratios = times.gated.map((ms, i) => ms / times.plain[i]);
console.log(
  `  gated / plain   ${median(ratios).toFixed(3)} (median of paired ratios), ${(median(times.gated) / median(times.plain)).toFixed(3)} (medians)`,
);

// What a GPU waits for when a network is small: launches.
const kernels = [];
for (const d of [1, 2, 3, 4]) {
  const model = d === 1 ? lenet300() : gate(lenet300(), { depth: d, lambda, rules });
  model.compile({ optimizer: tf.train.momentum(0.05, 0.9), loss: "categoricalCrossentropy" });
  await timeStep(model, data); // makes the optimiser's variables
  kernels.push((await tf.profile(() => timeStep(model, data))).kernels.length);
}
console.log(
  `  kernels of a step with momentum: plain ${kernels[0]}; D = 2, 3, 4: ${kernels.slice(1).join(", ")}`,
);
