import type { Graph } from "../graph/graph.ts";
import { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import { inlineInPlace } from "../normal-form/inline-functions.ts";
import { attentionDecompositions } from "./attention-decompositions.ts";
import { decompose } from "./decompose.ts";
import { dequantizeModel, hasCodes } from "./dequantize.ts";
import { foldBiases } from "./fold-biases.ts";
import { fusedDecompositions } from "./fused-decompositions.ts";
import { raisePatterns } from "./raise-patterns.ts";
import { toSinglePrecision } from "./single-precision.ts";
import { dropStaleShapes } from "./stale-shapes.ts";
import { standardDecompositions } from "./standard-decompositions.ts";
import { upgradeOpset } from "./upgrade-opset.ts";

/**
 * A copy of a model in the form that is differentiated: operators of the standard domain in their forms of operator set 18 or later, float32,
 * quantized and fused operators written out (constants of codes become floats under their names), and the patterns that exporters write layer normalisation and Gelu with as one operator again, whose
 * derivative is cheaper. Computes the same up to rounding, that of a quantized model included.
 *
 * @param kept names of values that are to stay beside inputs and outputs
 * @throws DgateError `UNSUPPORTED` naming operator, node and domain, for a form that cannot be written so
 */
export function trainingForm(graph: Graph, kept: readonly string[] = []): Graph {
  const copy = graph.clone();
  const outputs = copy.outputs.map(({ name }) => name);
  // As outputs they keep their names.
  for (const name of kept) {
    const value = copy.value(name);
    if (value && copy.producer(value) && !outputs.includes(name)) copy.addOutput(value);
  }
  const form = hasCodes(copy) ? dequantizeModel(copy) : copy;
  inlineInPlace(form);
  upgradeOpset(form);
  toSinglePrecision(form);
  decompose(form, { ...standardDecompositions, ...fusedDecompositions, ...attentionDecompositions });
  raisePatterns(form);
  foldBiases(new GraphDiffOps(form, "training"));
  dropStaleShapes(form);
  form.setOutputs(outputs.map((name) => form.value(name)!));
  return form;
}
