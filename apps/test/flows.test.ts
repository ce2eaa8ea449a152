import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { countCosts, readModel } from "@dgate/onnx";
import { unzipSync } from "fflate";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { hasChromium } from "../../test/browser/chromium.ts";
import { cancelAtOnce, downloadBy, figure, siteOfSuite, slide } from "./open-site.ts";

describe.skipIf(!hasChromium())("the demos, from the first click to the last", () => {
  const site = siteOfSuite();

  test("playground: a group dies where λ is large, lives where it is small, and a path finds the groups that matter", async () => {
    const { page, end } = await site.visit("playground/");
    await slide(page, "Gates start at", 1.2);
    // Positions of a slider that moves by factors.
    await slide(page, "λ", 200);
    await page.getByText(/The group died at t = \d/).waitFor();
    // The layer of the path lies on that of the contours: a dead group's dot is in the ring at 0.
    const [ring, dot] = await page
      .locator(".chart")
      .first()
      .evaluate((chart) =>
        [...chart.querySelectorAll("svg")].map((layer) => {
          const { x, y, width, height } = [...layer.querySelectorAll("circle")]
            .at(-1)!
            .getBoundingClientRect();
          return { x: x + width / 2, y: y + height / 2 };
        }),
      );
    expect(Math.hypot(ring!.x - dot!.x, ring!.y - dot!.y)).toBeLessThan(3);
    await slide(page, "λ", 40);
    await page.getByText("It lives.").waitFor();
    await page.getByText("λ with exactly these").waitFor();
    const exact = await page
      .locator("dt", { hasText: "λ with exactly these" })
      .locator("xpath=../dd")
      .textContent();
    expect(Number(/^(\d+) of 25$/.exec(exact!)?.[1])).toBeGreaterThan(0);
    await slide(page, "Groups that matter", 5);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled.").waitFor();
    await page.getByRole("button", { name: "Start again" }).click();
    // A path that is given up half-way leaves nothing in the next one.
    await page.waitForFunction(() => /λ [3-9] of 25/.test(document.body.textContent));
    await slide(page, "Groups that matter", 3);
    await figure(page, "groups that matter", /^\d+, \d+, \d+$/).waitFor();
    await figure(page, "λ with exactly these", / of 25$/).waitFor();
    await end();
  });

  test.each([
    ["LeNet-300-100", 400, 30, 266_610],
    ["Small CNN", 200, 40, 20_522],
  ] as const)(
    "train on WASM, %s: D and λ change on the way, groups die, are removed, and both networks read a drawn digit",
    async (network, digits, epochs, parameters) => {
      const { page, end } = await site.visit("train/");
      await setUp(page, { network, backend: "wasm", digits, epochs });
      await page.getByRole("button", { name: "Train", exact: true }).click();
      // Before the training has begun, and while it runs.
      await slide(page, "D", 4);
      await figure(page, "D", /^4$/).waitFor();
      await slide(page, "D", 2);
      await slide(page, "λ", 200);
      await figure(page, "D", /^2$/).waitFor();
      await figure(page, "largest λ", /^0\.1$/).waitFor();
      expect(await page.getByRole("progressbar").count()).toBe(1);
      await page.getByRole("button", { name: "Prune" }).waitFor();
      // Pictures are drawn in the colours of the page.
      const picture = (): Promise<string> =>
        page
          .locator("canvas.cells")
          .first()
          .evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
      let light = "";
      const isDrawn = async (): Promise<boolean> => light === (light = await picture());
      await expect.poll(isDrawn).toBe(true);
      await page.getByRole("button", { name: "Dark" }).click();
      await expect.poll(picture).not.toBe(light);
      await page.getByRole("button", { name: "Light" }).click();
      await expect.poll(picture).toBe(light);
      // What was trained is still there then.
      await cancelAtOnce(page, "Prune");
      await page.getByText("Cancelled.").waitFor();
      const pruned = await pruneAndTry(page);
      expect(pruned.parameters).toBeLessThan(0.99 * parameters);
      expect(pruned.report).toContain("λ = 0.1 from epoch ");
      await end();
    },
  );

  test("train on WebGPU: the same way through, too short for a group to die: nothing is removed then", async () => {
    const { page, end } = await site.visit("train/");
    await setUp(page, { network: "LeNet-300-100", backend: "webgpu", digits: 200, epochs: 1 });
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.getByText("Trains on webgpu").waitFor();
    await page.getByText("No group died.").waitFor();
    expect((await pruneAndTry(page)).parameters).toBe(266_610);
    await end();
  });

  test("train: a digit of one's own joins the others, and a training is cancelled at once", async () => {
    const { page, end } = await site.visit("train/");
    await page.getByText("Add digits of your own (0)").click();
    await drawOne(page, /to train on/);
    await page.getByLabel("It is a").selectOption("1");
    await page.getByRole("button", { name: "Add it" }).click();
    await page.getByText("Add digits of your own (1)").waitFor();
    await page.getByLabel("Computes on").selectOption("wasm");
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.getByText("Epoch 1 of").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled.").waitFor();
    expect(await page.getByRole("progressbar").count()).toBe(0);
    expect(await page.getByRole("button", { name: "Train anew" }).isEnabled()).toBe(true);
    await end();
  });

  test("heads: the model that the page trains loses half of its heads, and its folder opens again", async () => {
    const { page, end } = await site.visit("heads/");
    await page.getByRole("button", { name: "Train the small model" }).click();
    const first = page.getByRole("button", { name: /^Layer 0, head 0, importance/ });
    await first.waitFor();
    const right = await page
      .locator("dt", { hasText: "right with all heads on" })
      .locator("xpath=../dd")
      .textContent();
    expect(Number.parseFloat(right!)).toBeGreaterThan(95);
    await first.click();
    expect(
      await page.getByRole("button", { name: /^Layer 0, head 0,.* off$/ }).getAttribute("aria-pressed"),
    ).toBe("false");
    await page.locator(".now[aria-busy=false]", { hasText: "with gates" }).waitFor();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Space");
    await page.getByRole("button", { name: /^Layer 0, head 1,.* off$/ }).waitFor();
    // With few heads left the prediction is another one than with all.
    for (const on of [5, 3, 2]) {
      await page.getByRole("button", { name: "Weaker half off" }).click();
      await figure(page, "heads on", new RegExp(`^${on} of 12$`)).waitFor();
    }
    await page.waitForFunction(() => {
      const [dense, now] = document.querySelectorAll(".now[aria-busy=false] .classes .bar");
      return dense && now && dense.getAttribute("title") !== now.getAttribute("title");
    });
    await slide(page, "Steps", 20);
    await slide(page, "Heads that stay", 0.5);
    await page.getByRole("button", { name: "Learn" }).click();
    await page.getByRole("button", { name: "Remove 6 heads" }).click();
    const { name, bytes } = await downloadBy(page, "Download the model folder (zip)");
    expect(name).toMatch(/-pruned\.zip$/);
    const files = unzipSync(bytes);
    expect(Object.keys(files)).toEqual(
      expect.arrayContaining([
        "config.json",
        "tokenizer.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
      ]),
    );
    // It is no longer what is shown, then is again.
    const since = page.getByText("1 head has been turned since");
    const off = page.getByRole("button", { name: /^Layer .* off$/ });
    const label = await off.first().getAttribute("aria-label");
    await off.first().click();
    await since.waitFor();
    await page.getByRole("button", { name: label!.replace(/ off$/, "") }).click();
    await since.waitFor({ state: "detached" });
    const folder = mkdtempSync(join(tmpdir(), "dgate-heads-"));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    await page.locator("input[type=file]").setInputFiles(folder);
    // A layer that has one head left is not gated.
    const on = page.locator("dt", { hasText: "heads on" }).locator("xpath=../dd");
    await on.filter({ hasText: /^[2-6] of [2-6]$/ }).waitFor();
    rmSync(folder, { recursive: true });
    await end();
  });

  test("heads: a folder that is none, a hub that is not there and a training that is cancelled are told, with the way out", async () => {
    const visit = await site.visit("heads/");
    const { page } = visit;
    const folder = mkdtempSync(join(tmpdir(), "dgate-none-"));
    writeFileSync(join(folder, "notes.txt"), "no model");
    await page.locator("input[type=file]").setInputFiles(folder);
    await page.getByRole("alert").filter({ hasText: "config.json" }).waitFor();
    rmSync(folder, { recursive: true });
    await page.getByRole("button", { name: "Train the small model" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled.").waitFor();
    // Last: Chromium itself writes to the console that a request has failed.
    await page.context().route("https://huggingface.co/**", (route) => route.abort());
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await page.getByRole("alert").filter({ hasText: "huggingface.co cannot be reached" }).waitFor();
    await page.context().unroute("https://huggingface.co/**");
    expect(visit.foreign.every((address) => address.startsWith("https://huggingface.co/"))).toBe(true);
    await page.close();
  });

  test("deploy: what is no model is told; the example is pruned, runs beside itself on WASM and WebGPU, and is downloaded", async () => {
    const { page, end } = await site.visit("deploy/");
    const files = page.locator("input[type=file]");
    await files.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
    await page.getByText(/notes\.txt: .*ONNX file\?/).waitFor();
    await page.getByRole("button", { name: "Take the example" }).click();
    await page.getByRole("button", { name: "Prune" }).click();
    await page.getByRole("button", { name: "Download example-pruned.onnx" }).waitFor();
    const { name, bytes } = await downloadBy(page, "Download example-pruned.onnx");
    expect(name).toBe("example-pruned.onnx");
    const changed = page.getByText("The settings have changed since");
    await slide(page, "Stays", 0.7);
    await changed.waitFor();
    await slide(page, "Stays", 0.5);
    await changed.waitFor({ state: "detached" });
    const left = countCosts(readModel(bytes)).macs / 25_003_264;
    expect(left).toBeGreaterThan(0.4);
    expect(left).toBeLessThanOrEqual(0.5);
    await page.getByRole("button", { name: "Run on WASM" }).click();
    await page.getByText(/^WASM: .* times (?:faster|as fast)$/).waitFor();
    await page.getByRole("button", { name: "Run on WebGPU" }).click();
    await page.getByText(/^WebGPU: .* times (?:faster|as fast)$/).waitFor();
    // The file that came out, beside itself: equal.
    await files.setInputFiles([
      { name: "a.onnx", mimeType: "application/octet-stream", buffer: bytes },
      { name: "b.onnx", mimeType: "application/octet-stream", buffer: bytes },
    ]);
    await page.getByRole("heading", { name: "3. Side by side" }).waitFor();
    await page.getByRole("button", { name: "Run on WASM" }).click();
    await page.getByText("Outputs differ by at most 0 ").waitFor();
    await end();
  });

  test("deploy: a budget that cannot be reached says what can", async () => {
    const { page, end } = await site.visit("deploy/");
    await page.getByRole("button", { name: "Take the example" }).click();
    await page.getByLabel("filters").uncheck();
    await slide(page, "Stays", 0.1);
    await page.getByRole("button", { name: "Prune" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").textContent()).toMatch(/macs|MACs/);
    await end();
  });
});

describe.skipIf(!hasChromium())("the demos in a browser without WebGPU", () => {
  const site = siteOfSuite({ webgpu: false });

  test("train: WebGPU is refused with the reason; the fastest there is, is WASM", async () => {
    const { page, end } = await site.visit("train/");
    await page.getByLabel("Computes on").selectOption("webgpu");
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page
      .getByRole("alert")
      .filter({ hasText: /backend webgpu: .*(?:GPU|WebGPU)/ })
      .waitFor();
    await page.getByLabel("Computes on").selectOption("auto");
    await page.getByRole("button", { name: "Train", exact: true }).click();
    const device = page.getByText(/^Trains on wasm /);
    await device.waitFor();
    expect(await device.textContent()).toContain("Not on webgpu: ");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled.").waitFor();
    await end();
  });

  test("deploy: a run on WebGPU is refused with the reason, and WASM still runs", async () => {
    const { page, end } = await site.visit("deploy/");
    await page.getByRole("button", { name: "Take the example" }).click();
    await page.getByRole("button", { name: "Prune" }).click();
    await page.getByRole("button", { name: "Run on WebGPU" }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/^No GPU can be used: .*Run on WASM, or open the page /);
    await page.getByRole("button", { name: "Run on WASM" }).click();
    await page.getByText(/^WASM: .* times (?:faster|as fast)$/).waitFor();
    await end();
  });
});

interface SetUp {
  /** As its name begins. */
  readonly network: string;
  readonly backend: "wasm" | "webgpu";
  readonly digits: number;
  readonly epochs: number;
}

async function setUp(page: Page, { network, backend, digits, epochs }: SetUp): Promise<void> {
  const options = await page.getByLabel("Network").locator("option").allTextContents();
  const label = options.find((option) => option.startsWith(network))!;
  await page.getByLabel("Network").selectOption({ label });
  await page.getByLabel("Computes on").selectOption(backend);
  await slide(page, "Drawn digits", digits);
  await slide(page, "Epochs", epochs);
  await slide(page, "λ", 158);
}

/** Prunes what is trained, saves all that is offered, and draws a digit for both networks. */
async function pruneAndTry(page: Page): Promise<{ readonly parameters: number; readonly report: string }> {
  await page.getByRole("button", { name: "Prune" }).click();
  await page.getByRole("button", { name: "Download model.onnx" }).waitFor();
  const { parameters } = countCosts(readModel((await downloadBy(page, "Download model.onnx")).bytes));
  const zip = unzipSync((await downloadBy(page, "Download the tfjs model")).bytes);
  expect(Object.keys(zip).sort()).toEqual(["model.json", "weights.bin"]);
  const report = (await downloadBy(page, "Download the report")).bytes.toString();
  expect(report).toMatch(/^<!doctype html>[\s\S]*Group norms/);
  await drawOne(page, /to compare both/);
  await page.getByText(/^pruned: \d/).waitFor();
  return { parameters, report };
}

/** Draws a vertical stroke. */
async function drawOne(page: Page, label: RegExp): Promise<void> {
  const pad = page.getByRole("application", { name: label });
  await pad.scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await pad.boundingBox())!;
  await page.mouse.move(x + width / 2, y + 0.2 * height);
  await page.mouse.down();
  for (let i = 1; i <= 8; i++) await page.mouse.move(x + width / 2, y + (0.2 + 0.075 * i) * height);
  await page.mouse.up();
}
