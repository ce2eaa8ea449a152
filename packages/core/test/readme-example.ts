import {
  arrayOps,
  balancedFactors,
  collapse,
  defineGroups,
  factorGradients,
  findDeadGroups,
  proximalNorm,
  smoothPenaltyGradient,
  squaredGroupNorms,
} from "@dgate/core";

const ops = arrayOps("float64");
const set = defineGroups([{ name: "w", shape: [6], layout: { kind: "blocks", axis: 0, blockSize: 2 } }]);
const target = ops.constant([3, 4, 0.2, -0.1, -1, 2], [6]); // L₀ = ½‖w − target‖²
const [lambda, step, depth] = [0.5, 0.02, 3] as const;

let factors = balancedFactors(ops, set, [ops.constant([1, 1, 1, 1, 1, 1], [6])], depth);
for (let i = 0; i < 4000; i += 1) {
  const gradients = collapse(ops, set, factors).map((w) => ops.sub(w, target));
  const data = factorGradients(ops, set, factors, gradients);
  const penalty = smoothPenaltyGradient(ops, set, factors, lambda);
  factors = {
    primary: factors.primary.map((x, m) =>
      ops.sub(x, ops.scale(ops.add(data.primary[m]!, penalty.primary[m]!), step)),
    ),
    gates: factors.gates.map((x, d) =>
      ops.sub(x, ops.scale(ops.add(data.gates[d]!, penalty.gates[d]!), step)),
    ),
  };
}

const norms = Array.from(squaredGroupNorms(ops, set, collapse(ops, set, factors)).data, Math.sqrt);
const { kept, dead } = findDeadGroups(norms);
console.log(`kept groups ${kept.join(", ")}; dead ${dead.join(", ")}`);
console.log(`‖w₀‖ = ${norms[0]!.toFixed(6)}, in closed form ${proximalNorm(5, lambda, depth).toFixed(6)}`);
