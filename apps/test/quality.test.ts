import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasChromium } from "../../test/browser/chromium.ts";
import { openSite, type Site } from "./open-site.ts";

const pages = ["", "playground/", "train/", "heads/", "deploy/"] as const;

/** First content of a page, gzip, besides runtimes. */
const firstContentBytes = 200_000;

describe.skipIf(!hasChromium())("every page of the site", () => {
  let site: Site;

  beforeAll(async () => {
    site = await openSite();
  });

  afterAll(async () => {
    await site?.close();
  });

  test.each(pages)("/%s loads little, from this server alone, without a complaint", async (folder) => {
    const visit = await site.visit(folder);
    expect(await visit.page.title()).toContain("D-Gate");
    expect(visit.gzipBytes()).toBeGreaterThan(5000);
    expect(visit.gzipBytes()).toBeLessThan(firstContentBytes);
    await visit.end();
  });

  test.each(pages)("/%s does not jump, and fits a screen of 360 pixels", async (folder) => {
    const visit = await site.visit(folder, { width: 360 });
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
    expect(await visit.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    await visit.end();
  });

  test.each(pages)(
    "/%s can be used with the keyboard: everything has a name and is reached",
    async (folder) => {
      const visit = await site.visit(folder);
      const found = await visit.page.evaluate(() => {
        const controls = [
          ...document.querySelectorAll<HTMLElement>("a[href], button, input, select, textarea, summary"),
        ].filter((element) => element.checkVisibility() && !element.hasAttribute("disabled"));
        // oxlint-disable-next-line unicorn/consistent-function-scoping -- it runs in the page
        const nameOf = (element: HTMLElement): string =>
          element.getAttribute("aria-label") ??
          ([...((element as HTMLInputElement).labels ?? [])].map((label) => label.textContent).join(" ") ||
            element.textContent ||
            "");
        return {
          count: controls.length,
          nameless: controls
            .filter((element) => nameOf(element).trim() === "")
            .map((element) => element.outerHTML),
        };
      });
      expect(found.nameless).toEqual([]);
      const reached = new Set<string>();
      for (let i = 0; i < 3 * found.count; i++) {
        await visit.page.keyboard.press("Tab");
        const at = await visit.page.evaluate(() => {
          const { activeElement } = document;
          if (!activeElement || activeElement === document.body) return undefined;
          const all = [...document.querySelectorAll("*")];
          return String(all.indexOf(activeElement));
        });
        if (at !== undefined) reached.add(at);
      }
      expect(reached.size).toBeGreaterThanOrEqual(found.count);
      await visit.end();
    },
  );

  test.each(["light", "dark"] as const)("texts have contrast on %s paper", async (scheme) => {
    const visit = await site.visit("");
    await visit.page.emulateMedia({ colorScheme: scheme });
    const ratios = await visit.page.evaluate(() => {
      const probe = document.createElement("span");
      document.body.append(probe);
      const colour = (name: string): number[] => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe)
          .color.match(/[\d.]+/g)!
          .slice(0, 3)
          .map(Number);
      };
      // Relative luminance and contrast of WCAG 2.
      const luminance = (name: string): number => {
        const [r, g, b] = colour(name).map((value) => {
          const part = value / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
      };
      const ratio = (a: string, b: string): number => {
        const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
        return (x! + 0.05) / (y! + 0.05);
      };
      const pairs: [string, string, number][] = [];
      for (const paper of ["paper", "card"]) {
        for (const ink of ["ink", "faint", "accent", "warm", "good", "bad"])
          pairs.push([ink, paper, ratio(ink, paper)]);
      }
      pairs.push(
        ["ink", "tint", ratio("ink", "tint")],
        ["ink", "bad-tint", ratio("ink", "bad-tint")],
        ["accent-ink", "accent", ratio("accent-ink", "accent")],
      );
      return pairs;
    });
    for (const [ink, paper, ratio] of ratios) expect(ratio, `${ink} on ${paper}`).toBeGreaterThan(4.5);
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
