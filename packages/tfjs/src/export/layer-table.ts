import type { LayerRule } from "./layer-context.ts";
import { activationLayers, identityLayers } from "./layers/activation-layers.ts";
import { convolutionLayers } from "./layers/convolution.ts";
import { denseLayers } from "./layers/dense.ts";
import { mergeLayers } from "./layers/merge.ts";
import { normalisationLayers } from "./layers/normalisation.ts";
import { poolingLayers } from "./layers/pooling.ts";
import { shapeLayers } from "./layers/shape.ts";

/** One rule per layer class of tfjs that can be exported. */
export const layerRules: Readonly<Record<string, LayerRule>> = {
  ...denseLayers,
  ...convolutionLayers,
  ...poolingLayers,
  ...normalisationLayers,
  ...shapeLayers,
  ...mergeLayers,
  ...activationLayers,
  ...identityLayers,
};

/** Layers that pass integers on as they are; all others compute in float32. */
export const integerLayers: ReadonlySet<string> = new Set([
  "Embedding",
  "Flatten",
  "Reshape",
  "Permute",
  ...Object.keys(identityLayers),
]);

const recurrent =
  "it is recurrent, and recurrent layers have no rule; replace it by Conv1D or pooling over time";

/** Why the well-known classes without a rule have none. */
export const refusals: Readonly<Record<string, string>> = {
  LSTM: recurrent,
  GRU: recurrent,
  SimpleRNN: recurrent,
  RNN: recurrent,
  ConvLSTM2D: recurrent,
  Bidirectional: recurrent,
  TimeDistributed: "call the wrapped layer itself where it is Dense, for Dense works on any rank",
  Masking: "masks are not carried into ONNX; multiply by a 0/1 input instead",
};
