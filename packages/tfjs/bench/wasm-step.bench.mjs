// One training step on tfjs's wasm backend, stock against improved (`registerWasmKernels`). Two processes take turns
// within one run, so that both see the same machine. Prints medians, minima and ratios. The paired ratio compares the
// best steps of neighbouring turns and takes the median over the turns: other work on the machine hardly moves it.
import { fork } from "node:child_process";
import { once } from "node:events";
import { median } from "./networks.mjs";

const batch = 128;
const warmUpSteps = 3;
const rounds = 12;
const stepsPerRound = 5;
const cases = [
  { network: "lenet300", optimizer: "sgd" },
  { network: "lenet300", optimizer: "momentum" },
  { network: "lenet5", optimizer: "momentum" },
];

const worker = new URL("wasm-step-worker.mjs", import.meta.url);

async function ask(child, steps) {
  child.send(steps);
  const [answer] = await once(child, "message");
  return answer;
}

const number = (value) => value.toFixed(1).padStart(7);

for (const { network, optimizer } of cases) {
  const kinds = ["stock", "improved"];
  const children = kinds.map((kind) =>
    fork(worker, [kind, network, optimizer, String(batch)], { silent: true }),
  );
  const times = kinds.map(() => []);
  const losses = kinds.map(() => []);
  const errors = [];
  for (const [i, child] of children.entries()) errors[i] = (await ask(child, warmUpSteps)).error;
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, child] of children.entries()) {
      if (errors[i] !== undefined) continue;
      const { results } = await ask(child, stepsPerRound);
      times[i].push(...results.map(({ ms }) => ms));
      losses[i].push(...results.map(({ loss }) => loss));
    }
  }
  console.log(`${network}, ${optimizer}, batch ${batch}: ms a step`);
  for (const [i, kind] of kinds.entries()) {
    if (errors[i] !== undefined) console.log(`  ${kind.padEnd(9)} does not train: ${errors[i]}`);
    else
      console.log(
        `  ${kind.padEnd(9)} median ${number(median(times[i]))}  min ${number(Math.min(...times[i]))}` +
          `  loss ${losses[i][0].toFixed(3)} → ${losses[i].at(-1).toFixed(3)}`,
      );
  }
  if (errors.every((error) => error === undefined)) {
    const best = times.map((all) =>
      Array.from({ length: rounds }, (_, round) =>
        Math.min(...all.slice(round * stepsPerRound, (round + 1) * stepsPerRound)),
      ),
    );
    const paired = median(best[0].map((ms, round) => ms / best[1][round]));
    const [medians, minima] = [median, (all) => Math.min(...all)].map((f) => f(times[0]) / f(times[1]));
    console.log(
      `  times faster: ${paired.toFixed(2)} paired, ${medians.toFixed(2)} medians, ${minima.toFixed(2)} minima`,
    );
  }
  console.log("");
  for (const child of children) child.kill();
}
