import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { progressOn } from "./terminal.ts";

function screen(properties: object) {
  const stream = Object.assign(new PassThrough({ encoding: "utf8" }), properties);
  return { progress: progressOn(stream), text: () => String(stream.read() ?? "") };
}

test("without a terminal there are plain lines and no bar", () => {
  const { progress, text } = screen({});
  progress.bar(0.5, "half");
  progress.line("one");
  progress.bar(1, "done");
  expect(text()).toBe("one\n");
});

test("on a terminal the bar is redrawn, fits the width, and is wiped before a line", async () => {
  const { progress, text } = screen({ isTTY: true, columns: 40 });
  await new Promise((resolve) => setTimeout(resolve, 110));
  progress.bar(0.5, "a rather long text for such a narrow terminal");
  progress.bar(0.51, "too soon to be drawn");
  const drawn = text();
  expect(drawn.startsWith("\r\x1b[K")).toBe(true);
  const shown = drawn.slice("\r\x1b[K".length);
  expect(shown).toMatch(/^█{12}░{12} a rather/);
  expect(shown).toHaveLength(39);
  progress.line("one");
  expect(text()).toBe("\r\x1b[Kone\n");
  progress.line("two");
  expect(text()).toBe("two\n");
});
