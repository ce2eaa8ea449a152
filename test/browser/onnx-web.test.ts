import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { int, Graph, numbersOf, openRunner, tensorOf, writeModel } from "@dgate/onnx";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundlePage } from "./bundle-page.ts";
import { hasChromium, openChromium } from "./chromium.ts";
import type { PageResult, PageTask } from "./load-page.ts";
import { serve, type StaticServer } from "./static-server.ts";

const wave = (count: number, step: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin(step * i));

/** A convolution, its activation and a dense layer: 1 input of 6×6, 3 outputs. */
function model(): Uint8Array {
  const graph = new Graph("conv");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 1, 6, 6] });
  const kernel = graph.addInitializer("kernel", tensorOf("float32", [2, 1, 3, 3], wave(18, 1)));
  const weight = graph.addInitializer("weight", tensorOf("float32", [32, 3], wave(96, 2)));
  const bias = graph.addInitializer("bias", tensorOf("float32", [3], [0.1, 0.2, 0.3]));
  const maps = graph.addNode({ op: "Conv", inputs: [x, kernel] }).outputs[0];
  const active = graph.addNode({ op: "Relu", inputs: [maps] }).outputs[0];
  const flat = graph.addNode({ op: "Flatten", inputs: [active], attributes: { axis: int(1) } }).outputs[0];
  const y = graph.addValue("y", { dtype: "float32", shape: ["batch", 3] });
  graph.addNode({ op: "Gemm", inputs: [flat, weight, bias], outputs: [y] });
  graph.addOutput(y);
  return writeModel(graph);
}

const shape = [2, 1, 6, 6];
const input = Array.from({ length: 72 }, (_, i) => Math.cos(i));

async function run(page: Page, options: PageTask["options"], runs = 2): Promise<PageResult> {
  const task: PageTask = { options, url: "/model.onnx", input, shape, runs };
  return page.evaluate(
    (given) => (globalThis as unknown as { runTask(task: PageTask): Promise<PageResult> }).runTask(given),
    task,
  );
}

describe.skipIf(!hasChromium())("@dgate/onnx/web in Chromium", () => {
  let folder = "";
  let isolated: StaticServer;
  let plain: StaticServer;
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let expected: number[] = [];

  beforeAll(async () => {
    folder = await bundlePage(new URL("load-page.ts", import.meta.url));
    const bytes = model();
    const runner = await openRunner(bytes);
    expected = [...numbersOf((await runner.run({ x: { data: input, shape } })).y!)];
    await runner.dispose();
    const ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));
    const page = '<!doctype html><script type="module" src="/page/load-page.js"></script>';
    const contents = { "/": page, "/index.html": page, "/model.onnx": bytes };
    isolated = await serve({ "/ort/": ort, "/page/": folder }, contents);
    plain = await serve({ "/ort/": ort, "/page/": folder }, contents, false);
    browser = await openChromium();
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([isolated?.close(), plain?.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  async function openPage(server: StaticServer): Promise<Page> {
    const page = await browser.context.newPage();
    page.setDefaultTimeout(120_000);
    await page.goto(`${server.url}/index.html`);
    await page.waitForFunction(() => "runTask" in globalThis);
    return page;
  }

  function expectOutputs(result: PageResult, digits: number): void {
    expect(result.output).toHaveLength(expected.length);
    result.output.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, digits));
  }

  test.each([1, 2])("WASM with %i threads computes what onnxruntime-node does", async (threads) => {
    const page = await openPage(isolated);
    const result = await run(page, { providers: ["wasm"], threads });
    expectOutputs(result, 5);
    expect(result).toMatchObject({ provider: "wasm", threads, notes: [], latency: { runs: 2 } });
    expect(result.phases).toEqual(["download", "start", "warm-up"]);
    await page.close();
  });

  test("WebGPU computes what onnxruntime-node does", async () => {
    const page = await openPage(isolated);
    const result = await run(page, { providers: ["webgpu", "wasm"] });
    expect(result).toMatchObject({ provider: "webgpu", notes: [] });
    expectOutputs(result, 4);
    await page.close();
  }, 180_000);

  test("without COOP and COEP one thread runs, and the reason is told", async () => {
    const page = await openPage(plain);
    const result = await run(page, { providers: ["wasm"], threads: 2 });
    expectOutputs(result, 5);
    expect(result.threads).toBe(1);
    expect(result.notes.join()).toContain("not cross-origin isolated");
    await page.close();
  });

  test("a worker runs the model too", async () => {
    const page = await openPage(isolated);
    const task: PageTask = {
      options: { providers: ["wasm"], threads: 1 },
      url: "/model.onnx",
      input,
      shape,
      runs: 1,
    };
    const result = await page.evaluate(
      (given) =>
        new Promise<PageResult>((resolve, reject) => {
          const worker = new Worker("/page/load-page.js", { type: "module" });
          worker.addEventListener(
            "message",
            ({ data }: MessageEvent<{ result?: PageResult; error?: string }>) =>
              data.result ? resolve(data.result) : reject(new Error(data.error)),
          );
          // The module's own listener is there once it has been evaluated; messages wait for that.
          worker.postMessage(given, { transfer: [] });
        }),
      task,
    );
    expectOutputs(result, 5);
    expect(result).toMatchObject({ provider: "wasm", threads: 1, latency: { runs: 1 } });
    await page.close();
  });

  test("a cached model needs no server", async () => {
    const page = await openPage(isolated);
    const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(model()));
    const options = {
      providers: ["wasm"],
      cache: true,
      sha256: Buffer.from(digest).toString("hex"),
    } as const;
    const first = await run(page, options);
    expect(first.phases).toContain("download");
    await page.route("**/model.onnx", (route) => route.abort());
    const second = await run(page, options);
    expect(second.phases).not.toContain("download");
    expect(second.output).toEqual(first.output);
    await page.close();
  });
});
