import { PassThrough } from "node:stream";
import { DgateError, type DgateErrorCode } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { listOf, realNumber, wholeNumber } from "./commands/arguments.ts";
import { describeFailure } from "./io/exit-code.ts";
import { run } from "./run.ts";

async function call(...argv: string[]) {
  const stdout = new PassThrough({ encoding: "utf8" });
  const lines: string[] = [];
  const progress = { line: (text: string) => lines.push(text), bar: () => undefined };
  const code = await run(argv, { stdout, progress });
  return { code, stdout: String(stdout.read() ?? ""), lines };
}

describe("run", () => {
  test("help and version go to stdout with code 0", async () => {
    expect(await call("--version")).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as unknown,
      lines: [],
    });
    const help = await call("bench", "--help");
    expect(help).toMatchObject({ code: 0, lines: [] });
    expect(help.stdout).toContain("--rounds");
  });

  test("wrong usage is one line on stderr with code 2", async () => {
    for (const argv of [["inspect"], ["train", "--depth", "x"], ["nonsense"], ["prune", "a.onnx"]]) {
      const { code, stdout, lines } = await call(...argv);
      expect({ code, stdout, count: lines.length }).toEqual({ code: 2, stdout: "", count: 1 });
      const command = argv[0] === "nonsense" ? "" : `${argv[0]} `;
      expect(lines[0]).toMatch(new RegExp(`^dgate: [^\\n]+; see dgate ${command}--help$`));
    }
  });

  test("a missing file names its path", async () => {
    const { code, lines } = await call("inspect", "nowhere.onnx");
    expect(code).toBe(2);
    expect(lines).toEqual([
      "dgate: nowhere.onnx: cannot be read (ENOENT: no such file or directory); is the path right?",
    ]);
  });
});

test.each<[DgateErrorCode, number]>([
  ["OPTION", 2],
  ["FORMAT", 2],
  ["IO", 2],
  ["MISSING_PACKAGE", 2],
  ["CHECK", 1],
  ["DIVERGED", 1],
  ["ABORTED", 130],
])("the code %s exits with %i", (code, exit) => {
  expect(describeFailure(new DgateError(code, "two\n  lines"))).toEqual({ code: exit, line: "two lines" });
});

test("any other error is ours: code 1, one line, how to see more", () => {
  const { code, line } = describeFailure(new TypeError("x is not\na function"));
  expect(code).toBe(1);
  expect(line).toBe(
    "internal error: TypeError: x is not a function (set DGATE_DEBUG=1 for the stack, and please report it)",
  );
});

describe("option values", () => {
  test("whole numbers", () => {
    const parse = wholeNumber(2, 16);
    expect(parse("3")).toBe(3);
    for (const text of ["1", "17", "2.5", "NaN", "", "three"])
      expect(() => parse(text)).toThrow("from 2 to 16");
  });

  test("real numbers", () => {
    const parse = realNumber({ least: 0, below: 1 });
    expect([parse("0"), parse("5e-3")]).toEqual([0, 0.005]);
    for (const text of ["-1", "1", "NaN", "Infinity", ""])
      expect(() => parse(text)).toThrow("of at least 0 and below 1");
  });

  test("lists", () => {
    const parse = listOf(["neurons", "inputs"]);
    expect(parse("inputs, neurons")).toEqual(["inputs", "neurons"]);
    expect(() => parse("neurons,heads")).toThrow('"heads" is none of neurons, inputs');
  });
});
