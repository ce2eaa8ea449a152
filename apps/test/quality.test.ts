import { describe, expect, test } from "vitest";
import { hasChromium } from "../../test/browser/chromium.ts";
import { siteOfSuite } from "./open-site.ts";

const pages = ["", "playground/", "train/", "heads/", "deploy/"] as const;

/** First content of a page, gzip, besides runtimes. */
const firstContentBytes = 200_000;

describe.skipIf(!hasChromium())("every page of the site", () => {
  const site = siteOfSuite();

  test.each(pages)("/%s loads little, from this server alone, without a complaint", async (folder) => {
    const visit = await site.visit(folder);
    expect(await visit.page.title()).toContain("D-Gate");
    expect(visit.gzipBytes()).toBeGreaterThan(5000);
    expect(visit.gzipBytes()).toBeLessThan(firstContentBytes);
    await visit.end();
  });

  test.each(pages.flatMap((folder) => [360, 1280].map((width) => [folder, width] as const)))(
    "/%s does not jump, and fits a screen of %i pixels",
    async (folder, width) => {
      const visit = await site.visit(folder, { width });
      const shift = await visit.page.evaluate(
        () =>
          new Promise<number>((resolve) => {
            let sum = 0;
            new PerformanceObserver((list) => {
              // The type of this entry is not in the DOM library yet.
              for (const entry of list.getEntries())
                sum += (entry as PerformanceEntry & { value: number }).value;
            }).observe({ type: "layout-shift", buffered: true });
            setTimeout(() => resolve(sum), 500);
          }),
      );
      expect(shift).toBeLessThan(0.02);
      expect(await visit.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
        width,
      );
      await visit.end();
    },
  );

  test("pictures have the shape that the page keeps free for them", async () => {
    const visit = await site.visit("");
    const shapes = await visit.page.evaluate(() =>
      Promise.all(
        [...document.querySelectorAll("img")].map(async (image) => {
          image.loading = "eager";
          await image.decode();
          const { naturalWidth, naturalHeight } = image;
          if (image.closest("a")?.href !== image.src) throw new Error(`${image.src} does not open by itself`);
          return [
            [naturalWidth, naturalHeight],
            ["width", "height"].map((name) => Number(image.getAttribute(name))),
          ];
        }),
      ),
    );
    expect(shapes).toHaveLength(6);
    for (const [natural, kept] of shapes) expect(kept).toEqual(natural);
    await visit.end();
  });

  test.each(pages)(
    "/%s can be used with the keyboard: everything has a name and is reached",
    async (folder) => {
      const visit = await site.visit(folder);
      const nameless = await visit.page.evaluate(() => {
        const controls = [
          ...document.querySelectorAll<HTMLElement>(
            "a[href], button, input, select, textarea, summary, [tabindex='0']",
          ),
        ].filter((element) => element.checkVisibility() && !element.hasAttribute("disabled"));
        for (const [i, control] of controls.entries()) control.dataset["control"] = String(i);
        // oxlint-disable-next-line unicorn/consistent-function-scoping -- it runs in the page
        const nameOf = (element: HTMLElement): string =>
          element.getAttribute("aria-label") ??
          ([...((element as HTMLInputElement).labels ?? [])].map((label) => label.textContent).join(" ") ||
            element.textContent ||
            element.querySelector("img")?.alt ||
            "");
        return controls
          .filter((element) => nameOf(element).trim() === "")
          .map((element) => element.outerHTML);
      });
      expect(nameless).toEqual([]);
      const controls = visit.page.locator("[data-control]");
      const count = await controls.count();
      for (let i = 0; i < 3 * count; i++) {
        await visit.page.keyboard.press("Tab");
        await visit.page.evaluate(() => document.activeElement?.setAttribute("data-reached", ""));
      }
      const missed = await visit.page
        .locator("[data-control]:not([data-reached])")
        .evaluateAll((all) => all.map(({ outerHTML }) => outerHTML));
      expect(missed).toEqual([]);
      await visit.end();
    },
  );

  test.each(
    pages.flatMap((folder) => (["light", "dark"] as const).map((scheme) => [folder, scheme] as const)),
  )("texts of /%s have contrast on %s paper", async (folder, scheme) => {
    const visit = await site.visit(folder);
    const { page } = visit;
    if (folder === "deploy/") {
      await page.getByRole("button", { name: "Take the example" }).click();
      await page.getByText("What can be removed", { exact: true }).waitFor();
    }
    if (folder === "playground/") await page.getByRole("button", { name: "Pause" }).click();
    // Without motion colours change at once.
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await expect.poll(() => page.evaluate(weakTexts), { timeout: 10_000 }).toEqual([]);
    await visit.end();
  });

  test("the chosen theme stays from page to page", async () => {
    const visit = await site.visit("");
    await visit.page.getByRole("button", { name: "Dark" }).click();
    await visit.page.getByRole("navigation").getByRole("link", { name: "Deploy" }).click();
    await visit.page.getByRole("button", { name: "Light" }).waitFor();
    expect(await visit.page.evaluate(() => document.documentElement.dataset["theme"])).toBe("dark");
    await visit.page.getByRole("button", { name: "Light" }).click();
    await visit.end();
  });
});

/** Texts of a page that have too little contrast with what is behind them. Runs in the page. */
function weakTexts(): readonly string[] {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  // Whatever way a colour is written in.
  const rgba = (colour: string): readonly number[] => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  // Relative luminance and contrast of WCAG 2.
  // oxlint-disable-next-line unicorn/consistent-function-scoping -- it runs in the page
  const luminance = (colour: readonly number[]): number => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const behind = (element: Element | null): readonly number[] => {
    if (!element) return [255, 255, 255, 255];
    const colour = rgba(getComputedStyle(element).backgroundColor);
    return colour[3] === 255 ? colour : behind(element.parentElement);
  };
  const found = new Set<string>();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const { parentElement: element, textContent } = node;
    if (
      !element ||
      !textContent?.trim() ||
      !element.checkVisibility() ||
      element.closest(":disabled, script")
    )
      continue;
    const style = getComputedStyle(element);
    // Letters of a plot are filled, others have a colour.
    const ink = luminance(rgba(element.closest("svg") ? style.fill : style.color));
    const paper = luminance(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) found.add(`${textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}
