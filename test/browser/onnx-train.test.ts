import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type DeviceNetName,
  deviceNetNames,
  type DeviceSteps,
  deviceSteps,
  largestGap,
  openDeviceNet,
} from "../../packages/onnx/test/train/device-nets.ts";
import { bundlePage } from "./bundle-page.ts";
import { hasChromium, openChromium } from "./chromium.ts";
import { serve, type StaticServer } from "./static-server.ts";
import type { PageSteps, page as trainPage } from "./train-page.ts";

type Calls = typeof trainPage;

/** SwiftShader compiles the shaders of a net for half a minute and more. */
const timeoutMs = 300_000;
const steps = 3;

/** Calls a function of a page. */
function call<Name extends keyof Calls>(
  where: Page,
  name: Name,
  ...given: Parameters<Calls[Name]>
): Promise<Awaited<ReturnType<Calls[Name]>>> {
  return where.evaluate(
    ([wanted, list]) => {
      const { trainPage: calls } = globalThis as unknown as {
        trainPage: Record<string, (...args: unknown[]) => never>;
      };
      return calls[wanted]!(...list);
    },
    [name, given] as [string, unknown[]],
  );
}

describe.skipIf(!hasChromium())("@dgate/onnx/train in Chromium", () => {
  let folder = "";
  let server: StaticServer;
  let plain: StaticServer;
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let page: Page;

  beforeAll(async () => {
    folder = await bundlePage(new URL("train-page.ts", import.meta.url));
    const ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));
    const html = '<!doctype html><script type="module" src="/page/train-page.js"></script>';
    server = await serve({ "/ort/": ort, "/page/": folder }, { "/index.html": html });
    plain = await serve({ "/ort/": ort, "/page/": folder }, { "/index.html": html }, false);
    browser = await openChromium();
    page = await openPage(server);
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([server?.close(), plain?.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  async function openPage({ url }: StaticServer): Promise<Page> {
    const opened = await browser.context.newPage();
    opened.setDefaultTimeout(timeoutMs);
    await opened.goto(`${url}/index.html`);
    await opened.waitForFunction(() => "trainPage" in globalThis);
    return opened;
  }

  const expected = new Map<DeviceNetName, DeviceSteps>();

  async function inNode(name: DeviceNetName): Promise<DeviceSteps> {
    const known = expected.get(name);
    if (known) return known;
    const trainer = await openDeviceNet(name, { provider: "cpu", updates: "host" });
    const done = await deviceSteps(name, trainer, steps);
    await trainer.dispose();
    expected.set(name, done);
    return done;
  }

  async function expectSame(name: DeviceNetName, found: PageSteps): Promise<void> {
    const gap = largestGap(found, await inNode(name));
    expect(gap).toBeLessThan(1e-3);
    expect(found.removed).toBeGreaterThan(0);
    expect(found.equal).toBe(true);
  }

  describe.each(deviceNetNames)("%s", (name) => {
    test.each([
      ["wasm", "host"],
      ["wasm", "graph"],
      ["webgpu", "graph"],
      ["webgpu", "host"],
    ] as const)(
      "%s with updates in the %s comes to what onnxruntime-node does",
      async (provider, updates) => {
        const found = await call(page, "train", name, { provider, updates }, steps);
        expect(found).toMatchObject({ provider, updates });
        await expectSame(name, found);
      },
      timeoutMs,
    );
  });

  test(
    "an adapter that computes on the CPU is not taken by itself",
    async () => {
      const found = await call(page, "train", "mlp", {}, steps);
      expect(found.provider).toBe("wasm");
      await expectSame("mlp", found);
    },
    timeoutMs,
  );

  test(
    "threads take part where the page is isolated, and one thread runs where it is not",
    async () => {
      for (const [where, workers] of [
        [server, 1],
        [plain, 0],
      ] as const) {
        const own = await openPage(where);
        const found = await call(own, "train", "mlp", { provider: "wasm", threads: 2 }, steps);
        expect(own.workers()).toHaveLength(workers);
        await expectSame("mlp", found);
        await own.close();
      }
    },
    timeoutMs,
  );

  test(
    "20 steps on the device keep no more buffers than one",
    async () => {
      const counts = await call(page, "buffersOverSteps", "mlp", 4, 20);
      expect(counts[0]).toBeGreaterThan(20);
      expect(Math.max(...counts)).toBe(counts[0]);
    },
    timeoutMs,
  );

  test.each(["wasm", "webgpu"] as const)(
    "timers run while %s trains, and a signal stops it",
    async (provider) => {
      const { code, steps: done } = await call(page, "abortedFit", "mlp", { provider }, 10);
      expect(code).toBe("ABORTED");
      expect(done).toBeGreaterThan(1);
    },
    timeoutMs,
  );
});
