import { findSites, type Graph, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";
import { NetBuilder } from "./net-builder.ts";

/** DenseNet-201 with three times its layers: blocks of 18, 36, 144 and 96, every layer reads all before it. */
function deepDenseNet(growth: number): Graph {
  const net = new NetBuilder({ opset: 17 });
  const before = (name: string, x: Value, channels: number): Value =>
    net.op("Relu", [net.batchNorm(`${name}/bn`, x, channels)]);
  let x = net.layer("stem", net.input("image", ["batch", 3, 64, 64]), [3, 2 * growth], {
    kernel: 7,
    stride: 2,
    pad: 3,
  });
  let channels = 2 * growth;
  for (const [block, layers] of [18, 36, 144, 96].entries()) {
    const features = [x];
    for (let i = 0; i < layers; i++) {
      const name = `block${block}/${i}`;
      const width = channels + i * growth;
      const joined = before(`${name}/1`, i === 0 ? x : net.concat(features), width);
      const narrow = net.conv2d(`${name}/1`, joined, [width, 4 * growth], { kernel: 1, bias: false });
      const ready = before(`${name}/2`, narrow, 4 * growth);
      features.push(net.conv2d(`${name}/2`, ready, [4 * growth, growth], { pad: 1, bias: false }));
    }
    channels += layers * growth;
    x = net.concat(features);
    if (block === 3) break;
    const half = Math.floor(channels / 2);
    const mixed = net.conv2d(
      `transition${block}`,
      before(`transition${block}`, x, channels),
      [channels, half],
      {
        kernel: 1,
        bias: false,
      },
    );
    x = net.averagePool(mixed, 2, 2);
    channels = half;
  }
  return net.output(net.classifier(before("last", x, channels), channels));
}

test("in a DenseNet of 2,000 nodes, whose layers read up to 144 others, every layer can be pruned", () => {
  const graph = deepDenseNet(2);
  expect(graph.nodes().length).toBeGreaterThan(2000);
  const sites = findSites(graph).filter(({ prunable }) => prunable === true);
  expect(sites.length).toBeGreaterThan(590);
}, 60_000);
