import type { Attribute } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Value } from "./types.ts";

/** One node a line: `%y: float32[batch, 10] = Gemm(%x, %w, %b) {transB: 1}`; inputs first, outputs last. */
export function printGraph(graph: Graph): string {
  const opsets = [...graph.opsets].map(([domain, version]) => `${domain || "ai.onnx"} ${version}`).join(", ");
  const lines = [`graph "${graph.name}" (${opsets})`];
  for (const input of graph.inputs) lines.push(`  input ${printValue(input)}`);
  for (const value of graph.outer) lines.push(`  outer ${printValue(value)}`);
  for (const value of graph.initializers) lines.push(`  const ${printValue(value)}`);
  for (const node of graph.nodes()) {
    const outputs = node.outputs.map((value) => (value ? printValue(value) : "_")).join(", ");
    const inputs = node.inputs.map((value) => (value ? `%${value.name}` : "_")).join(", ");
    const attributes = [...node.attributes].map(
      ([name, attribute]) => `${name}: ${printAttribute(attribute)}`,
    );
    const domain = node.domain ? `${node.domain}.` : "";
    lines.push(
      `  ${outputs} = ${domain}${node.op}(${inputs})${attributes.length ? ` {${attributes.join(", ")}}` : ""}`,
    );
  }
  lines.push(`  return ${graph.outputs.map((value) => `%${value.name}`).join(", ")}`);
  return lines.join("\n");
}

function printValue({ name, type }: Value): string {
  if (!type) return `%${name}`;
  return `%${name}: ${type.dtype}${type.shape ? `[${type.shape.map((dim) => dim ?? "?").join(", ")}]` : ""}`;
}

function printAttribute(attribute: Attribute): string {
  switch (attribute.kind) {
    case "int":
    case "float":
      return String(attribute.value);
    case "string":
      return JSON.stringify(attribute.value);
    case "tensor":
      return `${attribute.value.dtype}[${attribute.value.shape.join(", ")}]`;
    case "graph":
      return `{\n${String(attribute.value).replaceAll(/^/gm, "    ")}\n  }`;
    case "opaque":
      return `${attribute.bytes.length} bytes`;
    default:
      return `[${attribute.value.join(", ")}]`;
  }
}
