import type { Graph } from "@dgate/onnx";
import { GraphBuilder } from "./graph-builder.ts";

/** Q, K and V of one value. */
export function threeOfOne(): Graph {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 5, 16]);
  return net.output(
    net.matmul("q", x, [16, 8]),
    net.matmul("k", x, [16, 8]),
    net.matmul("v", x, [16, 8], false),
  );
}
