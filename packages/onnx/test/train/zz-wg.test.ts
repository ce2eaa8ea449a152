import { test } from "vitest";
import { writeFileSync } from "node:fs";
import { findSites, readModel, writeModel } from "@dgate/onnx";
import { openTrainer, sgd, adam } from "@dgate/onnx/train";
import { deviceNets } from "./device-nets.ts";

const provider = (process.env.PROV ?? "webgpu") as "cpu";
for (const [name, net] of Object.entries(deviceNets)) {
  if (process.env.NET && process.env.NET !== name) continue;
  for (const updates of ["graph", "host"] as const) {
    if (process.env.UPD && process.env.UPD !== updates) continue;
    test(`${name} ${updates}`, async () => {
      const run = async (provider: "cpu" | "webgpu", steps: number) => {
        const graph = net.build();
        const t0 = performance.now();
        const trainer = await openTrainer(graph, {
          loss: net.loss(),
          depth: 3,
          lambda: 1e-2,
          train: "all",
          optimizer: adam(),
          learningRate: 0.01,
          updates,
          provider,
          clipNorm: 5,
          ...(provider === "webgpu" && {
            session: {
              logSeverityLevel: Number(process.env.SEV ?? 3),
              logVerbosityLevel: 1,
              ...(process.env.STRICT && { extra: { session: { disable_cpu_ep_fallback: "1" } } }),
            },
          }),
        } as never);
        const t1 = performance.now();
        writeFileSync(`/tmp/wg/${name}-${updates}.onnx`, writeModel(trainer.graph));
        const report = await trainer.fit(net.batches(steps));
        const t2 = performance.now();
        const gated = await trainer.gated();
        console.log(provider, t1 - t0, t2 - t1, [...report.losses]);
        await trainer.dispose();
        return gated;
      };
      const a = await run("cpu", 3);
      if (provider === "webgpu") {
        const b = await run("webgpu", 3);
        let max = 0;
        for (const v of a.initializers) {
          if (v.data!.dtype !== "float32") continue;
          const [p, q] = [v, b.value(v.name)!].map((x) => new Float32Array(x.data!.bytes.slice().buffer));
          p.forEach((x, i) => (max = Math.max(max, Math.abs(x - q[i]!))));
        }
        console.log(name, updates, "max diff", max);
      }
    }, 300_000);
  }
}
