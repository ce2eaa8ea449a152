// Runs training steps on request of wasm-step.bench.mjs: `node wasm-step-worker.mjs stock|improved NETWORK OPTIMIZER BATCH`.
import * as tf from "@tensorflow/tfjs";
import { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import { registerWasmKernels } from "@dgate/tfjs/wasm";
import { lenet5, lenet300, randomBatch, timeStep } from "./networks.mjs";

const [kernels, network, optimizer, batch] = process.argv.slice(2);
if (kernels === "improved") registerWasmKernels();
await tf.setBackend("wasm");
if (!(tf.backend() instanceof BackendWasm)) throw new Error("the wasm backend is of another copy of tfjs");
const model = { lenet300, lenet5 }[network]();
const optimizers = { sgd: () => tf.train.sgd(0.05), momentum: () => tf.train.momentum(0.02, 0.9) };
model.compile({ optimizer: optimizers[optimizer](), loss: "categoricalCrossentropy" });
const data = randomBatch(Number(batch));

async function timeSteps(steps) {
  const results = [];
  try {
    for (let step = 0; step < steps; step += 1) results.push(await timeStep(model, data));
    process.send({ results });
  } catch (error) {
    process.send({ error: error.message.split("\n")[0] });
  }
}

process.on("message", (steps) => void timeSteps(steps));
