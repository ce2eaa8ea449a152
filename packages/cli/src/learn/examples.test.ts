import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ExampleOptions, readExamples } from "./examples.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-examples-"));
});

afterEach(() => rm(folder, { recursive: true }));

async function read(name: string, content: string | Uint8Array, options: Partial<ExampleOptions> = {}) {
  const path = join(folder, name);
  await writeFile(path, content);
  return readExamples(path, { seed: 1, ...options });
}

const labelled = [
  { text: "good", label: "1" },
  { text: "bad", label: "0" },
];

describe("the formats say the same", () => {
  test.each([
    ["a.tsv", "sentence\tlabel\ngood\t1\nbad\t0\n"],
    ["a.tsv", "\uFEFFlabel\ttext\r\n1\tgood\r\n0\tbad"],
    ["a.csv", 'text,label\ngood,1\n"bad",0\n'],
    ["a.csv", "text;label\ngood;1\nbad;0"],
    ["a.jsonl", '{"text":"good","label":"1"}\n{"sentence":"bad","label":"0"}\n'],
    ["a.ndjson", '{"text":"good","label":"1"}\r\n{"text":"bad","label":"0"}'],
  ])("%s", async (name, content) => {
    expect(await read(name, content)).toMatchObject({ examples: labelled, empty: 0 });
  });

  test("lines of text, of JSON strings and of pairs", async () => {
    expect((await read("a.txt", "good\nbad\n")).examples).toEqual(["good", "bad"]);
    const json = '"good"\n["a","b"]\n{"text":["a","b"],"label":2}\n{"sentence1":"a","sentence2":"b"}';
    expect((await read("a.jsonl", json)).examples).toEqual([
      "good",
      ["a", "b"],
      { text: ["a", "b"], label: 2 },
      { text: ["a", "b"] },
    ]);
  });

  test("columns by name, and a cell without a label", async () => {
    const content = "id\tq\ta\tclass\n1\twho\tme\tyes\n2\twhy\tso\t\n";
    const columns = { textColumn: "q", pairColumn: "a", labelColumn: "class" };
    expect((await read("a.tsv", content, columns)).examples).toEqual([
      { text: ["who", "me"], label: "yes" },
      { text: ["why", "so"] },
    ]);
  });
});

test("quotes of a tsv are part of the text, those of a csv are not", async () => {
  const tsv = await read("a.tsv", 'text\n"so it goes\n');
  expect(tsv.examples).toEqual([{ text: '"so it goes' }]);
  const csv = await read("a.csv", 'text,label\n"a ""b"", c\nd",1\n');
  expect(csv.examples).toEqual([{ text: 'a "b", c\nd', label: "1" }]);
});

test("empty lines are counted, and do not shift the places of others", async () => {
  const { examples, places, empty } = await read("a.txt", "\none\n  \n\ntwo\n");
  expect(examples).toEqual(["one", "two"]);
  expect(places.map((place) => place.replace(/^.*: /, ""))).toEqual(["line 2", "line 5"]);
  expect(empty).toBe(3);
  expect((await read("a.csv", "text,label\na,1\n\nb,0\n")).empty).toBe(1);
});

test("a limit draws by the seed, in the order of the file", async () => {
  const content = Array.from({ length: 50 }, (_, i) => String(i)).join("\n");
  const of = async (seed: number) => (await read("a.txt", content, { limit: 10, seed })).examples.map(Number);
  const first = await of(1);
  expect(first).toHaveLength(10);
  expect(first).toEqual(first.toSorted((a, b) => a - b));
  expect(await of(1)).toEqual(first);
  expect(await of(2)).not.toEqual(first);
  expect((await read("a.txt", "a\nb", { limit: 10 })).examples).toEqual(["a", "b"]);
});

test("images of a folder have the classes of their subfolders", async () => {
  for (const name of ["cat", "dog"]) await mkdir(join(folder, name));
  for (const name of ["dog/2.JPG", "cat/1.png", "cat/notes.txt", "0.webp"]) {
    await writeFile(join(folder, name), "");
  }
  const { examples, places } = await readExamples(folder, { seed: 1 });
  const paths = ["0.webp", "cat/1.png", "dog/2.JPG"].map((name) => join(folder, name));
  expect(places).toEqual(paths);
  expect(examples).toEqual([
    { image: paths[0] },
    { image: paths[1], label: "cat" },
    { image: paths[2], label: "dog" },
  ]);
});

describe("bad input names the file, the place and the remedy", () => {
  test.each<[string, string | Uint8Array, Partial<ExampleOptions>, string, RegExp]>([
    ["a.parquet", "", {}, "OPTION", /--data .*a\.parquet: expected a name that ends in \.jsonl/],
    ["a.txt", "", {}, "DATA", /a\.txt: it has no examples; give texts/],
    ["a.txt", "\n \n", {}, "DATA", /a\.txt: all its 2 lines are empty/],
    ["a.tsv", "text\tlabel\n", {}, "DATA", /a\.tsv: it has no examples/],
    ["a.txt", Uint8Array.of(97, 0xff), {}, "FORMAT", /a\.txt: is not UTF-8; convert it/],
    ["a.jsonl", '"a"\n\n{"text": "b"', {}, "FORMAT", /a\.jsonl: line 3 is no JSON .*one value a line/],
    ["a.jsonl", "7", {}, "FORMAT", /a\.jsonl: line 1 is neither a text, a pair of texts nor/],
    ["a.jsonl", '["a","b","c"]', {}, "FORMAT", /line 1 is neither/],
    ["a.jsonl", '{"body":"a"}', {}, "FORMAT", /line 1 has no text \(its keys: body\).*--text-column/],
    ["a.jsonl", '{"text":7}', {}, "FORMAT", /line 1 has no text under "text"/],
    ["a.jsonl", '{"text":"a","label":[1]}', {}, "FORMAT", /line 1: the label \[1\] is neither/],
    ["a.jsonl", '{"premise":"a","hypothesis":1}', {}, "FORMAT", /line 1: the second text, "hypothesis"/],
    ["a.tsv", "text\tlabel\na\t1\nb\n", {}, "FORMAT", /line 3 has 1 columns, the header 2 \(text, label\)/],
    ["a.csv", 'text,label\n"a,1', {}, "FORMAT", /a\.csv: .*truncated\?/],
    ["a.csv", "text,label\na,1\nb\n", {}, "FORMAT", /a\.csv: .*line 3/],
    ["a.tsv", "a\tb\nc\td\n", {}, "NO_MATCH", /line 1 names the columns "a", "b".*--text-column/],
    [
      "a.tsv",
      "text\nc\n",
      { labelColumn: "y" },
      "NO_MATCH",
      /no column "y"; give --label-column one of text/,
    ],
  ])("%s %j", async (name, content, options, code, message) => {
    await expect(read(name, content, options)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as unknown,
    });
  });

  test("a file that is not there, and a folder without images", async () => {
    const missing = readExamples(join(folder, "none.txt"), { seed: 1 });
    await expect(missing).rejects.toMatchObject({ code: "IO" });
    const empty = readExamples(folder, { seed: 1 });
    await expect(empty).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/no image \(\.png/) as unknown,
    });
  });
});
