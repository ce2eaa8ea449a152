import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readModel, writeModelParts } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { hasChromium } from "../../test/browser/chromium.ts";
import { exampleModel } from "../deploy/example-model.ts";
import { hubModel, localHub } from "./local-hub.ts";
import { breakable, cancelAtOnce, downloadBy, figure, siteOfSuite, slide } from "./open-site.ts";

const shortTexts = Array.from({ length: 9 }, (_, i) => `the film is good ${i}.`).join("\n");

describe.skipIf(!hasChromium())("what goes wrong is told where it does, and the page goes on", () => {
  const site = siteOfSuite();

  test("deploy: a file that does not open, a cancelled measurement and a worker that breaks down leave the pruned model", async () => {
    const { page, end } = await site.visit("deploy/");
    const breakDown = await breakable(page);
    await page.getByRole("button", { name: "Take the example" }).click();
    await page.getByRole("button", { name: "Prune" }).click();
    const download = "Download example-pruned.onnx";
    const { bytes } = await downloadBy(page, download);
    const opening = page.locator("section", { hasText: "1. Drop a model" });
    const measuring = page.locator("section", { hasText: "4. Side by side" });
    await page
      .locator("input[type=file]")
      .setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
    await opening.getByRole("alert").filter({ hasText: "notes.txt" }).waitFor();
    expect((await downloadBy(page, download)).bytes.equals(bytes)).toBe(true);
    await cancelAtOnce(page, "Run on WASM");
    await measuring.getByText("Cancelled.").waitFor();
    await breakDown("Run on WASM");
    await measuring.getByRole("alert").filter({ hasText: "broke down (out of memory)" }).waitFor();
    expect((await downloadBy(page, download)).bytes.equals(bytes)).toBe(true);
    // The next worker has read the model anew.
    await page.getByRole("button", { name: "Run on WASM" }).click();
    const caption = page.locator("figcaption", { hasText: "runs each" });
    await caption.waitFor();
    const threads = await page.evaluate(() => Math.min(4, Math.ceil(navigator.hardwareConcurrency / 2)));
    expect(await caption.textContent()).toContain(`${threads} thread`);
    await cancelAtOnce(page, "Prune");
    await page.locator("section", { hasText: "3. Choose a budget" }).getByText("Cancelled.").waitFor();
    await page.getByRole("button", { name: "Prune", exact: true }).click();
    await page.getByRole("button", { name: "Cancel" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: download }).waitFor();
    expect(await page.getByRole("alert").count()).toBe(0);
    await end();
  });

  test("deploy: two models with weights in files of one name each get their own", async () => {
    const { page, end } = await site.visit("deploy/");
    const folder = mkdtempSync(join(tmpdir(), "dgate-two-"));
    const graph = readModel(exampleModel());
    for (const [i, name] of ["a", "b"].entries()) {
      if (i === 1) for (const { data } of graph.initializers) data!.bytes.fill(0);
      const { model, data } = writeModelParts(graph, "m.onnx_data", { externalData: true });
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "m.onnx"), model);
      writeFileSync(join(folder, name, "m.onnx_data"), Buffer.concat([...data!.chunks()]));
    }
    const files = ["a/m.onnx", "a/m.onnx_data"].map((path) => join(folder, path));
    // Without its weights, then with them.
    await page.locator("input[type=file]").setInputFiles(files[0]!);
    await page.getByRole("alert").filter({ hasText: "its weights lie in m.onnx_data" }).waitFor();
    await page.locator("input[type=file]").setInputFiles(files);
    await page.getByRole("heading", { name: "m.onnx" }).waitFor();
    await page.locator("input[type=file]").evaluate((input: HTMLInputElement) => {
      input.webkitdirectory = true;
    });
    await page.locator("input[type=file]").setInputFiles(folder);
    await page.getByRole("heading", { name: "3. Side by side" }).waitFor();
    await page.getByRole("button", { name: "Run on WASM" }).click();
    const caption = page.locator("figcaption", { hasText: "Outputs differ by at most" });
    await caption.waitFor();
    // The second model, whose weights are all zero, says zero: they differ by all that the first one says.
    expect(await caption.textContent()).toContain("100.0 % of the largest");
    rmSync(folder, { recursive: true });
    await end();
  });

  test("train: a worker that breaks down leaves no button that asks it", async () => {
    const { page, end } = await site.visit("train/");
    const breakDown = await breakable(page);
    await page.getByLabel("Computes on").selectOption("wasm");
    await slide(page, "Drawn digits", 200);
    await slide(page, "Epochs", 1);
    await page.getByRole("button", { name: "Train", exact: true }).click();
    const prune = page.getByRole("button", { name: "Prune" });
    await prune.waitFor();
    await breakDown("Prune");
    const pruning = page.locator("section", { hasText: "3. Remove them for real" });
    await pruning.getByRole("alert").filter({ hasText: "broke down" }).waitFor();
    expect(await prune.isDisabled()).toBe(true);
    await breakDown("Train anew");
    const training = page.locator("section", { hasText: "1. Train" });
    await training.getByRole("alert").filter({ hasText: "broke down" }).waitFor();
    expect(await prune.count()).toBe(0);
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await prune.and(page.locator(":enabled")).waitFor();
    await end();
  });

  test("heads: a model of the hub opens; too few texts are told where they are; Learn and Remove are cancelled; a worker that breaks down takes the model along", async () => {
    const asked = await localHub(site.context);
    const visit = await site.visit("heads/");
    const { page } = visit;
    const breakDown = await breakable(page);
    await page.getByLabel("Id on huggingface.co").fill(hubModel);
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await figure(page, "heads on", /^12 of 12$/).waitFor();
    await page.getByRole("button", { name: /^Layer 0, head 0, importance/ }).waitFor();
    expect(asked).toContain("onnx/model.onnx");
    // What does not open leaves what is open.
    const none = mkdtempSync(join(tmpdir(), "dgate-none-"));
    writeFileSync(join(none, "notes.txt"), "no model");
    await page.locator("input[type=file]").setInputFiles(none);
    await page.getByRole("alert").filter({ hasText: "config.json" }).waitFor();
    rmSync(none, { recursive: true });
    await figure(page, "heads on", /^12 of 12$/).waitFor();

    const learning = page.locator("section", { hasText: "3. Learn which heads matter" });
    const latency = page.locator(".now[aria-busy=false]", { hasText: "with gates" });
    await latency.waitFor();

    await page.getByLabel("Texts, one a line").fill(shortTexts);
    await page.getByRole("button", { name: "Learn" }).click();
    const few = learning.getByRole("alert").filter({ hasText: "There are 9 texts in step 3" });
    await few.waitFor();
    await latency.waitFor();
    await page.getByText("Step 3 has 9 texts: from 10 on some are held out.").waitFor();
    expect(await few.count()).toBe(1);

    // While the page still watches.
    await page.getByLabel("Texts, one a line").fill(`${shortTexts}\n`.repeat(12));
    await slide(page, "Steps", 600);
    await cancelAtOnce(page, "Learn");
    await learning.getByText("Cancelled.").waitFor();
    await cancelAtOnce(page, "Learn", " of 600, loss");
    await learning.getByText("Cancelled.").waitFor();
    await page.getByRole("button", { name: "All on" }).waitFor();
    await figure(page, "heads on", /^12 of 12$/).waitFor();

    await page.getByRole("button", { name: "Weaker half off" }).click();
    await figure(page, "heads on", /^6 of 12$/).waitFor();
    await cancelAtOnce(page, "Remove 6 heads");
    const removing = page.locator("section", { hasText: "4. Remove them for real" });
    await removing.getByText("Cancelled.").waitFor();

    await page.getByLabel("Your text").fill("");
    await page.getByText("Write a text: ").waitFor();
    await breakDown("Learn");
    await learning.getByRole("alert").filter({ hasText: "open it again in step 1" }).waitFor();
    await page.getByText("The model below is gone with the worker that held it").waitFor();
    expect(await page.getByRole("button", { name: "Learn" }).isDisabled()).toBe(true);
    expect(await page.getByRole("button", { name: "Remove 6 heads" }).isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await figure(page, "heads on", /^12 of 12$/).waitFor();
    await page.getByRole("button", { name: "Learn" }).and(page.locator(":enabled")).waitFor();
    expect(visit.foreign.every((address) => address.startsWith("https://huggingface.co/"))).toBe(true);
    expect(visit.complaints).toEqual([]);
    await page.close();
    await site.context.unroute("https://huggingface.co/**");
  });
});
