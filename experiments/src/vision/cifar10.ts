import type { SiteKind } from "@dgate/onnx";
import { allMethods, comparedTables, comparisons } from "../methods/all-methods.ts";
import { gating } from "../methods/penalised.ts";
import type { TaskOptions } from "../training/task.ts";
import { accuracy, trainingExperiment, type TrainingExperiment } from "../training/training-experiment.ts";
import { cifar10, cifarFiles, smallDigits } from "./image-data.ts";
import { imageTask } from "./image-task.ts";
import { graphOf, lenet5, resnet, vgg } from "./networks.ts";

interface CifarOptions extends Pick<TrainingExperiment, "name" | "title" | "claim"> {
  readonly gate: readonly SiteKind[];
  /** At so many times the usual widths. */
  readonly network: (times: number) => Parameters<typeof graphOf>[2];
  readonly rate: number;
  /** Part of the steps over which λ rises. */
  readonly penaltyRamp?: number;
}

/** A convolutional network on a part of CIFAR-10; on a GPU trained four times as long, and VGG and ResNet four times as wide; quickly half as wide on drawn digits. */
const onCifar = ({ gate, network, rate, penaltyRamp = 0, ...about }: CifarOptions) =>
  trainingExperiment({
    ...about,
    family: "vision",
    version: 1,
    seeds: 3,
    data: (quick) => (quick ? [] : cifarFiles),
    task({ quick, backend }: TaskOptions) {
      const times = quick ? 0.5 : backend === "webgpu" ? 4 : 1;
      return imageTask({
        data: quick ? smallDigits(400, 400) : cifar10(),
        flat: false,
        gate,
        build: (seed) => graphOf(quick ? [14, 14, 1] : [32, 32, 3], 10, network(times), seed),
        epochs: quick ? 20 : 8 * times,
        batch: quick ? 25 : 64,
        rate: quick ? 0.1 : rate,
        // Without normalisation a few steps would else blow up.
        clipNorm: 2,
        penaltyRamp,
      });
    },
    score: accuracy,
    sizes: (quick) => (quick ? [0.7] : [0.75, 0.5, 0.33, 0.2]),
    sweeps: (quick) =>
      quick
        ? [{ method: gating(2), strengths: [5e-3, 1.6e-2] }]
        : allMethods({
            lambdas: [8e-3, 1.2e-2, 1.8e-2],
            upAndDown: [1.2e-2, 1.8e-2, 2.8e-2],
            fastGates: [2e-3, 4e-3, 8e-3],
            direct: [5e-3, 9e-3, 1.6e-2],
            proximal: [5e-3, 9e-3, 1.6e-2],
            hardConcrete: [4e-2, 6e-2, 7.5e-2, 9e-2],
            fastHardConcrete: [5e-3, 7e-3, 1e-2, 1.5e-2, 2.5e-2],
            fromScratch: [8e-3, 1.2e-2, 1.8e-2],
            fractions: [0.7, 0.4, 0.2],
          }),
    verdicts: comparisons,
    more: comparedTables,
  });

export const cifarLenet5 = onCifar({
  name: "lenet-5-cifar10",
  title: "LeNet-5 on CIFAR-10, filters and neurons",
  claim:
    "LeNet-5 on a part of CIFAR-10 (8,000 images), filters of both convolutions and neurons of both hidden layers as groups; 8 epochs of batch 64 for every method (on a GPU 32).",
  gate: ["filters", "neurons"],
  network: () => lenet5,
  rate: 0.05,
});

export const cifarVgg = onCifar({
  name: "vgg-cifar10",
  title: "A small VGG on CIFAR-10, filters and neurons",
  claim:
    "Three pairs of 3 × 3 convolutions (8, 16, 32 wide; on a GPU 32, 64, 128) without normalisation, else as LeNet-5.",
  gate: ["filters", "neurons"],
  network: (times) => vgg([8 * times, 16 * times, 32 * times]),
  rate: 0.05,
  penaltyRamp: 0.3,
});

export const cifarResnet = onCifar({
  name: "resnet-cifar10",
  title: "A small ResNet on CIFAR-10, channels of the residual streams and filters",
  claim:
    "Two stages of two residual blocks (8, 16 wide; on a GPU 32, 64). The channels of a stage's sums are coupled and go together; the filters inside of a block are groups of their own.",
  gate: ["filters"],
  network: (times) => resnet([8 * times, 16 * times]),
  rate: 0.05,
  penaltyRamp: 0.3,
});
