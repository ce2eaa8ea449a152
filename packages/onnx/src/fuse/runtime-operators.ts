import { DgateError } from "@dgate/core";

/** Where onnxruntime runs a model: `cpu` is onnxruntime-node, `wasm` and `webgpu` are onnxruntime-web. */
export type FuseProvider = "cpu" | "wasm" | "webgpu";

/** A runtime that a fused model is for. */
export interface FuseTarget {
  readonly provider: FuseProvider;
  /** Version of onnxruntime, as `"1.21.0"`. */
  readonly version: string;
}

/** The operators that `fuse` puts in. */
export type FusedOperator =
  | "Attention"
  | "BiasGelu"
  | "FastGelu"
  | "Gelu"
  | "LayerNormalization"
  | "MultiHeadAttention"
  | "SimplifiedLayerNormalization"
  | "SkipLayerNormalization"
  | "SkipSimplifiedLayerNormalization";

/** What some versions of an operator cannot do. */
export type FusedAbility =
  /** A bias of the scores that is the same for all heads, `[batch, 1, queries, keys]`; 1.21 computes another result, without an error. */
  | "MultiHeadAttention: one bias for all heads"
  /** A bias of the scores without the axes along which it is the same; 1.14 takes `[batch, heads, queries, keys]` only. */
  | "Attention: broadcast bias";

/** The first version that has something, by provider; `undefined` if none does. */
type Since = Readonly<Record<FuseProvider, string | undefined>>;

const everywhere: Since = { cpu: "1.14", wasm: "1.14", webgpu: "1.21" };

/**
 * The first version of onnxruntime, of those that were tried (onnxruntime-node 1.14.0, 1.21.0 and 1.30.0; onnxruntime-web 1.14.0,
 * 1.22.0-dev, 1.30.0 and 1.31.0-dev), that computes each operator right in float32. 1.14 is that of @xenova/transformers 2, which has no
 * WebGPU; 1.21 and 1.22 those of @huggingface/transformers 3. `LayerNormalization` and `SimplifiedLayerNormalization` are of the
 * standard domain, and load with any operator set.
 */
export const runtimeOperators: { readonly [Key in FusedOperator | FusedAbility]: Since } = {
  Attention: { cpu: "1.14", wasm: "1.14", webgpu: "1.22" },
  "Attention: broadcast bias": { cpu: "1.22", wasm: "1.22", webgpu: "1.22" },
  BiasGelu: everywhere,
  FastGelu: everywhere,
  Gelu: everywhere,
  LayerNormalization: everywhere,
  MultiHeadAttention: { cpu: "1.21", wasm: "1.21", webgpu: "1.21" },
  "MultiHeadAttention: one bias for all heads": { cpu: "1.22", wasm: "1.22", webgpu: "1.22" },
  SimplifiedLayerNormalization: everywhere,
  SkipLayerNormalization: everywhere,
  SkipSimplifiedLayerNormalization: { cpu: "1.21", wasm: "1.21", webgpu: "1.21" },
};

/** The runtimes of @huggingface/transformers 3 and 4, and of onnxruntime now: what is right for all of them. */
export const defaultTargets: readonly FuseTarget[] = [
  { provider: "cpu", version: "1.21.0" },
  { provider: "wasm", version: "1.22.0" },
  { provider: "webgpu", version: "1.22.0" },
];

/** The target without an operator or ability; `undefined` if all have it. */
export function targetWithout(
  targets: readonly FuseTarget[],
  key: FusedOperator | FusedAbility,
): FuseTarget | undefined {
  return targets.find(({ provider, version }) => {
    const since = runtimeOperators[key][provider];
    return since === undefined || isBefore(version, since);
  });
}

/**
 * @throws DgateError `OPTION` for a provider or version that is none, or if there is no target
 */
export function checkTargets(targets: readonly FuseTarget[]): void {
  const bad = targets.find(
    ({ provider, version }) => !Object.hasOwn(everywhere, provider) || !/^\d+\.\d+/.test(version),
  );
  if (!bad && targets.length > 0) return;
  throw new DgateError(
    "OPTION",
    `fuse: target ${JSON.stringify(bad ?? [])} is not known; expected { provider: "cpu" | "wasm" | "webgpu", version: "1.30.0" }.`,
  );
}

function isBefore(version: string, since: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [sinceMajor = 0, sinceMinor = 0] = since.split(".").map(Number);
  return major < sinceMajor || (major === sinceMajor && minor < sinceMinor);
}
