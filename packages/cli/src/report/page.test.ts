import { expect, test } from "vitest";
import { sampleRun } from "../../test/sample-run.ts";
import { printDocument } from "../train/document.ts";
import { reportPage } from "./page.ts";

const runs = [2, 3, 4].map((depth) => sampleRun(depth));

test("the page holds every plot for both widths and asks for nothing from elsewhere", () => {
  const page = reportPage({ runs });
  const titles = [...page.matchAll(/<figure role="group" aria-label="([^"]+)"/g)].map(([, title]) => title);
  expect(titles).toEqual([
    "Active groups",
    "Test accuracy",
    "Group norms, D = 2",
    "Group norms, D = 3",
    "Group norms, D = 4",
    "Gap and imbalance, D = 2",
    "Gap and imbalance, D = 3",
    "Gap and imbalance, D = 4",
    "Accuracy against size",
    "Latency",
    "Inputs kept, D = 2",
    "Inputs kept, D = 3",
    "Inputs kept, D = 4",
  ]);
  expect(page.match(/<svg[^>]* width="560"/g)).toHaveLength(4);
  expect(page.match(/<svg[^>]* width="312"/g)).toHaveLength(10);
  expect(page).not.toMatch(/<script|<link|<img|(?:src|href)="http|url\(http|NaN|undefined/);
});

test("the plotted curves are those of the document", () => {
  const page = reportPage({ runs: [sampleRun(3)] });
  expect(page).toContain("76 groups fall under 0.01");
  expect(page).toContain("<td>96.50 %</td>");
  expect(page).toContain("<td>0.610 ms</td>");
  expect(page).toContain("<td>0.102 ms</td>");
  expect(page).toContain("pruned D = 3, 6.0×");
});

test("numbers at the ends of axes are rounded, those of ticks are not", () => {
  const run = sampleRun(3);
  const history = run.history.map((record) => ({ ...record, time: 39.85190671 * record.epoch }));
  const page = reportPage({ runs: [{ ...run, history, settings: { ...run.settings, lambda: 0.1 / 7 } }] });
  expect(page).not.toMatch(/>\d+\.\d{5,}</);
  expect(page).toContain("λ = 0.0143");
  expect(page).toMatch(/>\d+\.\d{1,3}</);
});

test("names from files cannot become markup", () => {
  const run = sampleRun(3);
  const names = ['<img src=x onerror="alert(1)">', "a & b"];
  const settings = { ...run.settings, data: "</title><script>alert(1)</script>" };
  const page = reportPage({
    runs: [{ ...run, settings, inputs: { total: 2, kept: [0, 1], names, image: null } }],
  });
  expect(page).not.toMatch(/<script|<img/);
  expect(page).toContain("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;, a &amp; b");
});

test("a printed document parses to itself and keeps numbers on one line", () => {
  const text = printDocument(runs[0]);
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(runs[0])));
  expect(text).toMatch(/"kept": \[\d+(,\d+)*\]/);
});
