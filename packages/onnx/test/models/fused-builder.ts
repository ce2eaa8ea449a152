import { type Attribute, float, int, tensorOf, type Value } from "@dgate/onnx";
import { GraphBuilder } from "../graph-builder.ts";

/** What a node of a fused operator is made with. */
export interface FusedNode {
  readonly name?: string;
  /** Number of outputs (default 1). */
  readonly outputs?: number;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** Builds graphs with the operators of onnxruntime's own domain. */
export class FusedBuilder extends GraphBuilder {
  constructor(seed = 1, opset = 21) {
    super(seed, opset);
    this.graph.opsets.set("com.microsoft", 1);
  }

  /** A node of `com.microsoft`; left-out inputs are `undefined`. */
  fused(
    op: string,
    inputs: readonly (Value | undefined)[],
    { name = "", outputs = 1, attributes = {} }: FusedNode = {},
  ): readonly Value[] {
    const node = this.graph.addNode({ op, domain: "com.microsoft", name, inputs, outputs, attributes });
    return node.outputs.filter((value) => value !== undefined);
  }

  /** A node of the standard domain with several outputs. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    { name = "", outputs = 1, attributes = {} }: FusedNode = {},
  ): readonly Value[] {
    const node = this.graph.addNode({ op, name, inputs, outputs, attributes });
    return node.outputs.filter((value) => value !== undefined);
  }

  /** A kernel `[inputs, outputs]` of scale 1/√inputs. */
  kernel(name: string, [inputs, outputs]: readonly [number, number]): Value {
    return this.weight(name, [inputs, outputs], 1 / Math.sqrt(inputs));
  }

  /** MatMul without bias. */
  project(name: string, x: Value, size: readonly [number, number]): Value {
    return this.op("MatMul", [x, this.kernel(`${name}/kernel`, size)], {}, name);
  }

  int32(name: string, shape: readonly number[], numbers: readonly number[]): Value {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf("int32", shape, numbers));
  }

  int32Input(name: string, shape: readonly (number | string)[]): Value {
    return this.graph.addInput(name, { dtype: "int32", shape });
  }

  /** SkipLayerNormalization of a sum with a bias; the second value is the sum. */
  skipNorm(name: string, x: Value, skip: Value, width: number): readonly [Value, Value] {
    const parameters = [
      this.weight(`${name}/gamma`, [width], 0.3, 1),
      this.weight(`${name}/beta`, [width]),
      this.weight(`${name}/bias`, [width]),
    ];
    const outputs = this.graph.addNode({
      op: "SkipLayerNormalization",
      domain: "com.microsoft",
      name,
      inputs: [x, skip, ...parameters],
      outputs: 4,
      attributes: { epsilon: float(1e-5) },
    }).outputs;
    return [outputs[0]!, outputs[3]!];
  }

  /** Cosines and sines of rotary embeddings, `[positions, dim / 2]` each. */
  rotaryCaches(positions: number, dim: number): readonly [Value, Value] {
    const angles = Array.from({ length: (positions * dim) / 2 }, (_, i) => {
      const pair = i % (dim / 2);
      return Math.floor(i / (dim / 2)) * 100 ** ((-2 * pair) / dim);
    });
    const table = (name: string, f: (angle: number) => number): Value =>
      this.graph.addInitializer(name, tensorOf("float32", [positions, dim / 2], angles.map(f)));
    return [table("cos_cache", Math.cos), table("sin_cache", Math.sin)];
  }
}

/** `num_heads` as an attribute. */
export const headCount = (count: number): Readonly<Record<string, Attribute>> => ({ num_heads: int(count) });
