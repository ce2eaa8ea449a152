import { gate, shrink, toOnnx } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";

// y = x₂·x₅ + x₁₁: the other nine features tell nothing.
const x = tf.randomNormal([256, 12], 0, 1, "float32", 1);
const [a, b, c] = [2, 5, 11].map((feature) => x.slice([0, feature], [-1, 1]));
const y = tf.add(tf.mul(a!, b!), c!);

const kernelInitializer = tf.initializers.glorotNormal({ seed: 24 });
const model = tf.sequential({
  layers: [
    tf.layers.dense({ units: 24, activation: "relu", inputShape: [12], kernelInitializer, name: "hidden" }),
    tf.layers.dense({ units: 1, kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }), name: "out" }),
  ],
});

const rules = [{ layer: "hidden", site: ["inputs", "neurons"] as const }];
const gated = gate(model, { depth: 3, lambda: 2e-2, rules });
gated.compile({ optimizer: tf.train.adam(0.02), loss: "meanSquaredError" });
await gated.fit(x, y, { epochs: 60, batchSize: 64, shuffle: false });

const { model: small, report } = await shrink(gated);
for (const { site, groups, active } of report.sites) console.log(`${site}: ${active} of ${groups}`);
console.log(`features kept: ${report.inputs[0]?.kept.join(", ")}`);
console.log(`parameters: ${report.before.parameters} → ${report.after.parameters}`);
console.log(`the small model computes what the masked one does: ${report.maxAbsDiff < 1e-5}`);

const narrow = await toOnnx(small); // takes rows of the three features
const full = await toOnnx(small, { select: report.inputs }); // takes rows of all twelve and picks the three
console.log(`ONNX: ${narrow.length} and ${full.length} bytes`);
