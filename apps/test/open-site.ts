import { gzipSync } from "node:zlib";
import type { BrowserContext, Download, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject } from "vitest";
import { openChromium } from "../../test/browser/chromium.ts";
import { serve } from "../../test/browser/static-server.ts";

/** The site of a suite: it is opened before the first test, and closed after the last one. */
export function siteOfSuite(...options: Parameters<typeof openSite>): Pick<Site, "context" | "visit"> {
  let site: Site | undefined;
  beforeAll(async () => {
    site = await openSite(...options);
  });
  afterAll(async () => site?.close());
  return {
    get context() {
      return site!.context;
    },
    visit: (...page) => site!.visit(...page),
  };
}

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
async function openSite({ webgpu = true }: { readonly webgpu?: boolean } = {}): Promise<Site> {
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

/** A figure by its name, where its value is as told. */
export const figure = (page: Page, name: string, value: RegExp): Locator =>
  page
    .locator("dt", { hasText: new RegExp(`^${name}$`) })
    .locator("xpath=../dd")
    .filter({ hasText: value });

/** Presses a button, and Cancel as soon as it is there and the page tells what is waited for, however short the job is. */
export async function cancelAtOnce(page: Page, name: string, told = ""): Promise<void> {
  const button = page.getByRole("button", { name, exact: true });
  await button.evaluate(async (element: HTMLButtonElement, text) => {
    element.click();
    for (;;) {
      const cancel = [...document.querySelectorAll("button")].find(
        ({ textContent }) => textContent === "Cancel",
      );
      if (cancel && document.body.textContent.includes(text)) return cancel.click();
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }, told);
}

/**
 * Lets the workers that a page starts from now on break down.
 *
 * @returns presses a button, and as soon as its job runs tells the page of the last worker that is there what a browser tells of one that has run out of memory
 */
export async function breakable(page: Page): Promise<(button: string) => Promise<void>> {
  await page.evaluate(() => {
    const workers: Worker[] = [];
    const Plain = Worker;
    Object.assign(globalThis, {
      workers,
      Worker: class extends Plain {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          super(...args);
          workers.push(this);
        }
        override terminate(): void {
          if (workers.includes(this)) workers.splice(workers.indexOf(this), 1);
          super.terminate();
        }
      },
    });
  });
  return (name) =>
    page.getByRole("button", { name, exact: true }).evaluate(async (button: HTMLButtonElement) => {
      button.click();
      while (!document.querySelector("progress"))
        await new Promise((resolve) => requestAnimationFrame(resolve));
      // Put there above.
      const { workers } = globalThis as unknown as { readonly workers: readonly Worker[] };
      workers.at(-1)!.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }));
    });
}

/** The content of the file that a button gives. */
export async function downloadBy(
  page: Page,
  button: string,
): Promise<{ readonly name: string; readonly bytes: Buffer }> {
  // On a slow machine a click is too long ago when the file is made, and a link stands there to click.
  const made = page.getByRole("button", { name: button }).locator("xpath=following-sibling::*[1][self::a]");
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  let download: Download | undefined;
  while (!download) {
    download = await Promise.race([saved, page.waitForTimeout(50).then(() => undefined)]);
    if (download || !(await made.isVisible())) continue;
    await made.click();
    download = await saved;
  }
  const parts: Buffer[] = [];
  for await (const part of await download.createReadStream()) parts.push(part as Buffer);
  return { name: download.suggestedFilename(), bytes: Buffer.concat(parts) };
}
