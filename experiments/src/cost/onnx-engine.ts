import { crossEntropy, openTrainer, sgd, type TrainProvider } from "@dgate/onnx/train";
import { type Competitor, type CostEngine, floatBytes, training } from "./competitor.ts";
import type { CostNetwork } from "./networks.ts";

const devices = {
  cpu: "onnxruntime-node, 1 thread",
  wasm: "onnxruntime-web, 1 thread",
  webgpu: "WebGPU of onnxruntime-node",
} as const;

/** Trains on a provider of onnxruntime. */
export async function onnxEngine(
  provider: TrainProvider,
  network: CostNetwork,
  seed: number,
): Promise<CostEngine> {
  const graph = await network.build(seed);
  const batch = network.batch(seed);
  const { lambda, learningRate, momentum } = training;
  return {
    device: devices[provider],
    async open(depth): Promise<Competitor> {
      const trainer = await openTrainer(graph, {
        loss: crossEntropy(),
        train: "all",
        ...(depth === 1 ? { gate: "none" } : { gate: network.gate, depth, lambda }),
        optimizer: sgd({ momentum }),
        learningRate,
        provider,
        threads: 1,
      });
      const parameters = trainer.parameters.reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      );
      let memoryBytes = 0;
      const step = async (): Promise<number> => {
        const report = await trainer.fit([batch]);
        memoryBytes = report.memoryBytes;
        return report.losses[0]!;
      };
      return {
        parameters,
        step,
        firstLoss: step,
        optimizerBytes: () => floatBytes * parameters * sgd({ momentum }).slots,
        peakBytes: async () => memoryBytes,
        dispose: () => trainer.dispose(),
      };
    },
  };
}
