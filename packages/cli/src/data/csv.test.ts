import { DgateError } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { type CsvOptions, parseCsv } from "./csv.ts";
import { taskFromTable } from "./table-task.ts";

/** Twelve rows of a, b and a class. */
const rows = (delimiter = ",", line = (i: number) => [i, 2 * i, i % 3 === 0 ? "red" : "blue"]) =>
  Array.from({ length: 12 }, (_, i) => line(i).join(delimiter)).join("\n");

const errorOf = (text: string, options: CsvOptions): DgateError => {
  try {
    parseCsv(text, options);
  } catch (error) {
    if (error instanceof DgateError) return error;
    throw error;
  }
  throw new Error("expected a DgateError");
};

describe("parseCsv", () => {
  test.each([",", ";", "\t"])("finds the delimiter %j and quoted headers", (delimiter) => {
    const header = ['"a, first"', "b", "colour"].join(delimiter);
    const table = parseCsv(`\uFEFF${header}\r\n${rows(delimiter)}\n`, { target: "colour" });
    expect(table.columns).toEqual(["a, first", "b"]);
    expect(table.rows).toBe(12);
    expect([...table.x.subarray(0, 6)]).toEqual([0, 0, 1, 2, 2, 4]);
    expect(table.target).toMatchObject({ kind: "classification", classNames: ["blue", "red"] });
    expect([...table.target.values.subarray(0, 4)]).toEqual([1, 0, 0, 1]);
  });

  test("without a header the target is a column number", () => {
    const table = parseCsv(
      rows(",", (i) => [i % 2, i, i / 4]),
      { target: "1" },
    );
    expect(table.columns).toEqual(["column2", "column3"]);
    expect(table.target).toMatchObject({ kind: "classification", classNames: ["0", "1"] });
  });

  test("many different numbers make a regression", () => {
    const { target } = parseCsv(`a,y\n${rows(",", (i) => [i, i + 0.5])}`, { target: "y" });
    expect(target).toEqual({
      kind: "regression",
      values: Float64Array.from({ length: 12 }, (_, i) => i + 0.5),
    });
  });

  test("a truncated file names its line", () => {
    const whole = `a,b,colour\n${rows()}`;
    const cut = errorOf(whole.slice(0, whole.lastIndexOf(",")), { target: "colour", name: "f.csv" });
    expect(cut.code).toBe("FORMAT");
    expect(cut.message).toMatch(/^f\.csv: .*on line 13.*truncated\?$/);
    expect(errorOf(`${whole}\n"12,24,red`, { target: "colour" }).message).toMatch(/line 14.*truncated/);
    expect(errorOf("", { target: "a" }).code).toBe("FORMAT");
    expect(errorOf("a,b\n1,2\n3,4", { target: "a" }).message).toContain("2 rows");
  });

  test.each(["NaN", "", "Infinity", "x1"])("the cell %j is an error with row and column", (cell) => {
    const text = `a,b,colour\n${rows(",", (i) => [i, i === 4 ? cell : i, "red"])}`;
    const error = errorOf(text, { target: "colour", name: "f.csv" });
    expect(error.code).toBe("DATA");
    expect(error.message).toMatch(/^f\.csv: row 5, column "b"/);
  });

  test("a gap in the target is an error with its row", () => {
    const text = `a,y\n${rows(",", (i) => [i, i === 7 ? "" : i + 0.5])}`;
    expect(errorOf(text, { target: "y" }).message).toContain('row 8, column "y"');
    expect(errorOf(`a,y\n${rows(",", (i) => [i, `id${i}`])}`, { target: "y" }).message).toContain(
      "no class to learn",
    );
  });

  test("an unknown target lists the columns", () => {
    const error = errorOf(`a,b,colour\n${rows()}`, { target: "size" });
    expect(error.code).toBe("NO_MATCH");
    expect(error.message).toContain("a, b, colour");
  });
});

describe("taskFromTable", () => {
  const table = parseCsv(`a,flat,y\n${rows(",", (i) => [3 * i, 7, i + 0.5])}`, { target: "y" });

  test("standardises by the training part alone and undoes exactly", () => {
    const task = taskFromTable(table, { name: "t", seed: 5 });
    expect([task.train.count, task.test.count]).toEqual([10, 2]);
    const train = [...task.train.x].filter((_, i) => i % 2 === 0);
    expect(train.reduce((a, b) => a + b, 0) / 10).toBeCloseTo(0, 5);
    expect(train.reduce((a, b) => a + b * b, 0) / 10).toBeCloseTo(1, 5);
    const { mean, deviation, target } = task.scaling!;
    const raw = [...task.test.x].map((value, i) => value * deviation[i % 2]! + mean[i % 2]!);
    expect([raw[1], raw[3]]).toEqual([7, 7]);
    // y = a / 3 + 0.5 in every row.
    for (const i of [0, 1]) {
      expect(task.test.y[i]! * target.deviation + target.mean).toBeCloseTo(raw[2 * i]! / 3 + 0.5, 4);
    }
  });

  test("the same seed holds out the same rows", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => taskFromTable(table, { name: "t", seed }));
    expect(a!.test.x).toEqual(b!.test.x);
    expect(a!.train.y).not.toEqual(c!.train.y);
  });
});
