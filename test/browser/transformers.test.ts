import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { dataFolder } from "@dgate/testing";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pruneBert, sentences } from "../../packages/transformers/test/save/prune-bert.ts";
import { runIn } from "../../packages/transformers/test/save/run-in.ts";
import { bundlePage } from "./bundle-page.ts";
import { hasChromium, openChromium } from "./chromium.ts";
import { serve, type StaticServer } from "./static-server.ts";
import type { GatesResult, PageModel, PipelineTask } from "./transformers-page.ts";

const data = dataFolder();

const require = createRequire(new URL("../../packages/transformers/package.json", import.meta.url));
const [v2, v3, v4] = ["@xenova/transformers", "transformers-v3", "@huggingface/transformers"].map((name) =>
  join(dirname(require.resolve(name)), "../dist"),
) as [string, string, string];

/** Versions 2 and 3 have their WASM beside them, version 4 in its onnxruntime-web. */
const folders: Readonly<Record<string, string>> = {
  "/v2/": v2,
  "/v3/": v3,
  "/v4/": v4,
  "/ort4/": dirname(createRequire(join(v4, "x.js")).resolve("onnxruntime-web")),
};

const libraries = [
  ["2", { library: "/v2/transformers.js", wasm: "/v2/" }],
  ["3", { library: "/v3/transformers.js", wasm: "/v3/" }],
  ["4", { library: "/v4/transformers.js", wasm: "/ort4/" }],
] as const;

describe.skipIf(!data || !hasChromium())("@dgate/transformers in Chromium", () => {
  let folder = "";
  let bundle = "";
  let server: StaticServer;
  let browser: Awaited<ReturnType<typeof openChromium>>;
  const expected: Record<string, readonly number[]> = {};
  /** URLs of other servers that a page asked for. */
  const foreign: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dgate-models-"));
    const pruned = await pruneBert(data!);
    await pruned.save(join(folder, "small"), { check: false });
    await pruned.gates.dispose();
    for (const dtype of ["fp32", "q8"]) {
      const { logits } = await runIn("@huggingface/transformers", join(folder, "small"), {
        dtype,
        texts: sentences,
      });
      expected[dtype] = logits;
    }
    bundle = await bundlePage(new URL("transformers-page.ts", import.meta.url));
    const page = '<!doctype html><script type="module" src="/page/transformers-page.js"></script>';
    const models = {
      "/models/small/": join(folder, "small"),
      "/models/stories/": join(data!, "models/tinyllamas/stories260K"),
    };
    server = await serve({ ...folders, ...models, "/page/": bundle }, { "/index.html": page });
    browser = await openChromium();
  }, 300_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    for (const each of [folder, bundle]) rmSync(each, { recursive: true, force: true });
  });

  async function openPage(): Promise<Page> {
    const page = await browser.context.newPage();
    page.setDefaultTimeout(300_000);
    page.on("request", (request) => {
      if (request.url().startsWith("http") && !request.url().startsWith(server.url))
        foreign.push(request.url());
    });
    await page.goto(`${server.url}/index.html`);
    await page.waitForFunction(() => "runPipeline" in globalThis);
    return page;
  }

  test.each(libraries)(
    "a page with version %s runs the saved files as Node does",
    async (_, where) => {
      const page = await openPage();
      for (const dtype of ["fp32", "q8"] as const) {
        const task: PipelineTask = { ...where, name: "small", dtype, texts: sentences };
        const logits = await page.evaluate(
          (given) =>
            (globalThis as unknown as { runPipeline(task: PipelineTask): Promise<number[]> }).runPipeline(
              given,
            ),
          task,
        );
        expect(logits).toHaveLength(expected[dtype]!.length);
        const largest = Math.max(...logits.map((value, i) => Math.abs(value - expected[dtype]![i]!)));
        // Where a float in between rounds otherwise, it can fall into the next of 256 steps.
        expect(largest).toBeLessThan(dtype === "fp32" ? 1e-4 : 0.02);
      }
      expect(foreign).toEqual([]);
      await page.close();
    },
    300_000,
  );

  test("gates are found, attached, learned and removed in the page itself", async () => {
    const page = await openPage();
    const texts = [
      "Once upon a time, there was",
      "One day, a dog",
      "The sun was",
      "Lily and Tom",
      "She loved to",
      "He was a big",
      "They saw a",
      "It was a very",
      "Mom said",
      "The cat sat",
      "A bird flew",
      "Ben had a red car",
    ];
    const task: PageModel & { texts: string[] } = { ...libraries[2][1], name: "stories", texts };
    const found = await page.evaluate(
      (given) =>
        (globalThis as unknown as { runGates(task: PageModel): Promise<GatesResult> }).runGates(given),
      task,
    );
    const { dense, attached, off, detached } = found.logits;
    const apart = (other: readonly number[]): number =>
      Math.max(...dense.map((value, i) => Math.abs(value - other[i]!)));
    expect(found.heads).toEqual([4, 4, 4, 4, 4]);
    expect(apart(attached)).toBeLessThan(1e-4);
    expect(apart(off)).toBeGreaterThan(1e-2);
    expect(detached).toEqual(dense);
    expect(found.losses).toHaveLength(found.steps);
    expect(found.losses.every((loss) => Number.isFinite(loss))).toBe(true);
    expect(found.files).toEqual(
      expect.arrayContaining([
        "onnx/model.onnx",
        "onnx/decoder_model_merged.onnx",
        "onnx/model_quantized.onnx",
        "config.json",
        "tokenizer.json",
        "README.md",
      ]),
    );
    expect(found.maxAbsDiff).toBeLessThan(1e-3);
    expect(found.saveCode).toBe("UNSUPPORTED");
    expect(foreign).toEqual([]);
    await page.close();
  }, 400_000);
});
