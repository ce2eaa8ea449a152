import type { Family } from "./family.ts";
import { keras } from "./keras.ts";
import { efficientNet, mobileNetV2, mobileNetV3 } from "./mobilenet.ts";
import { denseNet, inception, shuffleNetV1, shuffleNetV2, squeezeNet } from "./multi-branch.ts";
import { convNeXt, regNet, vgg } from "./plain.ts";
import { focus, resNet18, resNet50, resNetA } from "./resnet.ts";
import { unet } from "./unet.ts";

/** Convolutional networks in the forms that exporters give them, at small width with random weights. */
export const families: readonly Family[] = [
  resNet18,
  resNet50,
  resNetA,
  focus,
  mobileNetV2,
  mobileNetV3,
  efficientNet,
  shuffleNetV1,
  shuffleNetV2,
  denseNet,
  inception,
  squeezeNet,
  vgg,
  regNet,
  convNeXt,
  unet,
  keras,
];
