import { gzipSync } from "node:zlib";
import type { BrowserContext, Page } from "playwright-core";
import { expect, inject } from "vitest";
import { openChromium } from "../../test/browser/chromium.ts";
import { serve } from "../../test/browser/static-server.ts";

/** The site under a path of its own, and a browser. */
export interface Site {
  readonly url: string;
  readonly context: BrowserContext;
  /** Opens a page of the site. */
  readonly visit: (folder: string, options?: { readonly width?: number }) => Promise<Visit>;
  readonly close: () => Promise<void>;
}

/** A page that is watched. */
interface Visit {
  readonly page: Page;
  /** What the console said, and errors that nobody caught. */
  readonly complaints: readonly string[];
  /** Addresses outside of the site that were asked for. */
  readonly foreign: readonly string[];
  /** Bytes of all texts that came over the network so far, as a server with gzip sends them; runtimes (WASM) and pictures are not counted. */
  readonly gzipBytes: () => number;
  /** Nothing was complained about, and nothing came from elsewhere. */
  readonly end: () => Promise<void>;
}

/** Serves the site that `build-site.ts` has built. */
export async function openSite({ webgpu = true }: { readonly webgpu?: boolean } = {}): Promise<Site> {
  const path = "/some/where/";
  const server = await serve({ [path]: inject("site") }, {});
  const browser = await openChromium({ webgpu });
  const { context } = browser;
  context.setDefaultTimeout(120_000);
  const url = `${server.url}${path}`;
  return {
    url,
    context,
    visit: (name, { width = 1280 } = {}) => visit(context, url, name, width),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

async function visit(context: BrowserContext, url: string, folder: string, width: number): Promise<Visit> {
  const page = await context.newPage();
  await page.setViewportSize({ width, height: 800 });
  const complaints: string[] = [];
  const foreign: string[] = [];
  const sizes: Promise<number>[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith(url) && !/^(?:blob|data):/.test(address)) foreign.push(address);
  });
  let bytes = 0;
  page.on("response", (response) => {
    if (!/\.(?:html|js|mjs|css)$|\/$/.test(new URL(response.url()).pathname)) return;
    const size = response.body().then(
      (body) => {
        bytes += gzipSync(body).length;
        return bytes;
      },
      () => bytes, // Of a page that was left meanwhile.
    );
    sizes.push(size);
  });
  await page.goto(`${url}${folder}`, { waitUntil: "networkidle" });
  await Promise.all(sizes);
  return {
    page,
    complaints,
    foreign,
    gzipBytes: () => bytes,
    async end() {
      await page.close();
      expect(complaints).toEqual([]);
      expect(foreign).toEqual([]);
    },
  };
}

/** Moves a slider, as a drag would. */
export async function slide(page: Page, label: string, value: number): Promise<void> {
  await page.getByLabel(label, { exact: true }).evaluate((element, to) => {
    const slider = element as HTMLInputElement;
    slider.value = String(to);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }, value);
}

/** The content of the file that a button gives. */
export async function downloadBy(
  page: Page,
  button: string,
): Promise<{ readonly name: string; readonly bytes: Buffer }> {
  // On a slow machine a click is too long ago when the file is made, and a link stands there to click.
  const made = page.getByRole("button", { name: button }).locator("xpath=following-sibling::a[1]");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page
      .getByRole("button", { name: button })
      .click()
      .then(() => made.waitFor())
      .then(() => page.evaluate(() => navigator.userActivation.isActive))
      .then((active) => (active ? undefined : made.click())),
  ]);
  const parts: Buffer[] = [];
  for await (const part of await download.createReadStream()) parts.push(part as Buffer);
  return { name: download.suggestedFilename(), bytes: Buffer.concat(parts) };
}
