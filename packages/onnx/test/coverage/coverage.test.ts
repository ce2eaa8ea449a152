import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findSites, type Graph, readModel } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { declinedOps } from "../../src/coupling/fused-rules.ts";
import { quantizedForms } from "../models/all-quantized-forms.ts";
import { families } from "../models/families.ts";
import { attentionForms } from "../models/fused-forms.ts";
import { transformerModels } from "../models/models.ts";
import { patterns } from "../models/patterns.ts";
import { denseNet } from "../models/quantizable.ts";
import { feedsOf, type TransformerModel } from "../models/transformer-model.ts";
import { differentiable } from "./differentiate.ts";
import { markdownTable } from "./markdown.ts";
import { accountOf, type Feeding, outcome } from "./prune-heads.ts";

// `pnpm coverage` writes docs/coverage.md anew; a plain test run compares it with what the code does.
const file = fileURLToPath(new URL("../../../../docs/coverage.md", import.meta.url));
const update = process.env["DGATE_UPDATE"] !== undefined;
const before = existsSync(file) ? readFileSync(file, "utf8") : "";

type Rows = readonly (readonly string[])[];

const written: string[] = [];

/** A section as the code makes it. */
function section(title: string, header: readonly string[], rows: Rows): string {
  const text = `## ${title}\n\n${markdownTable(header, rows)}\n`;
  written.push(text);
  return text;
}

/** The same section in the file; where the file is being made anew, the new one. */
function inFile(text: string): string {
  if (update) return text;
  const start = before.indexOf(text.slice(0, text.indexOf("\n") + 1));
  const end = before.indexOf("\n## ", start + 1);
  return start < 0 ? "no such section" : before.slice(start, end < 0 ? undefined : end);
}

const results = [
  "found",
  "one head removed",
  "half of all heads removed",
  "half of all that goes by default",
  "differentiable",
];

async function cellsOf(graph: Graph, feeding: Feeding): Promise<string[]> {
  const { found, oneHead, halfOfHeads, halfOfAll } = await accountOf(graph, feeding);
  return [found, oneHead, halfOfHeads, halfOfAll, await differentiable(graph, feeding)];
}

const fed = (model: TransformerModel) => ({ feeds: [feedsOf(model, 1), feedsOf(model, 2)] });

/** Rows with a cell that says anything but `exact` or what was found; only control flow, by the name of its node, may be in a gradient's way. */
const inexact = (rows: Rows): Rows =>
  rows.filter((row) =>
    row.some((cell) =>
      /DIFFERS|FAILS|declined|kept back|nothing went|no: (?!control flow, If ".+"$)/.test(cell),
    ),
  );

describe("docs/coverage.md is what the code does", { timeout: 600_000 }, () => {
  test("forms of attention", async () => {
    const rows: string[][] = [];
    for (const { id, name, build } of patterns) {
      const model = build();
      rows.push([id, name, ...(await cellsOf(model.graph, fed(model)))]);
    }
    expect(inexact(rows)).toEqual([]);
    const text = section("Un-fused attention", ["pattern", "form", ...results], rows);
    expect(inFile(text)).toBe(text);
  });

  test("transformers", async () => {
    const rows: string[][] = [];
    for (const { name, build } of transformerModels) {
      const model = build();
      rows.push([name, ...(await cellsOf(model.graph, fed(model)))]);
    }
    expect(inexact(rows)).toEqual([]);
    const text = section("Transformers", ["model", ...results], rows);
    expect(inFile(text)).toBe(text);
  });

  test("fused operators", async () => {
    const rows: string[][] = [];
    for (const { name, build, dims = {} } of attentionForms) {
      rows.push([name, ...(await cellsOf(build(), { dims, runtime: "node" }))]);
    }
    expect(inexact(rows)).toEqual([]);
    const text = section("Fused attention", ["form", ...results], rows);
    expect(inFile(text)).toBe(text);
    const declined = section(
      "Fused operators that are declined",
      ["operator", "reason"],
      Object.entries(declinedOps),
    );
    expect(inFile(declined)).toBe(declined);
  });

  test("convolutional networks", async () => {
    const rows: string[][] = [];
    for (const { name, variants, width, build, chosen, dims = {} } of families) {
      for (const variant of variants) {
        const graph = build(width, variant);
        const sites = findSites(graph);
        const options = { sparsity: 0.5, ...(chosen && { sites: chosen }) };
        const half = await outcome(graph, sites, options, { dims });
        const reasons = sites.flatMap(({ prunable }) => (prunable === true ? [] : [prunable]));
        const open = sites.length - reasons.length;
        const kept = [...new Set(reasons)].join("; ");
        const slope = await differentiable(graph, { dims });
        rows.push([name, variant, `${open} of ${sites.length}`, half, slope, kept]);
      }
    }
    expect(inexact(rows)).toEqual([]);
    const header = [
      "network",
      "form",
      "prunable sites",
      "half of each site removed",
      "differentiable",
      "what stays, and why",
    ];
    const text = section("Convolutional networks", header, rows);
    expect(inFile(text)).toBe(text);
  });

  test("quantized forms", async () => {
    const rows: string[][] = [];
    for (const [name, { make, block = 1, equal }] of Object.entries(quantizedForms)) {
      const graph = await make(denseNet(1, 32, [64, 64, 8]));
      const sites = findSites(graph);
      const groups = sites.flatMap((site) => (site.prunable === true ? [site.groups] : []));
      const half = await outcome(graph, sites, { sparsity: 0.5 }, { runtime: "node", within: equal });
      const neurons = block === 1 ? "single" : `whole blocks of ${block}`;
      const slope = await differentiable(graph, { runtime: "node" });
      rows.push([name, neurons, groups.join(", "), half, slope]);
    }
    expect(inexact(rows)).toEqual([]);
    const text = section(
      "Quantized models (an MLP of 64 and 64 neurons)",
      ["form", "neurons go", "groups", "half removed", "differentiable"],
      rows,
    );
    expect(inFile(text)).toBe(text);
  });

  const folder = dataFolder();
  test.skipIf(folder === undefined)("models from elsewhere", async () => {
    const rows: string[][] = [];
    for (const path of modelsBelow(folder!)) {
      const graph = readModel(readFileSync(join(folder!, path)));
      rows.push([path, ...(await cellsOf(graph, { runtime: "node" }))]);
    }
    expect(inexact(rows).map(([path]) => path)).toEqual([
      // Its weights are inputs.
      "onnx-structures/attention_past_state.onnx",
      // It has one head.
      "onnx-structures/vespa_random_encoder.onnx",
    ]);
    const text = section("Models that nobody here wrote", ["file", ...results], rows);
    expect(inFile(text)).toBe(text);
  });

  test("the file has no other section", () => {
    const text = `${preface}\n${written.join("\n")}`;
    if (update) writeFileSync(file, text);
    // Without the data the last section cannot be made; `dataFolder` says so.
    expect(folder === undefined || update ? text : before).toBe(text);
  });
});

function modelsBelow(folder: string): string[] {
  return ["onnx-structures", "models"].flatMap((part) =>
    readdirSync(join(folder, part), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort(),
  );
}

const preface = `# What @dgate/onnx prunes and differentiates

Made by \`pnpm coverage\`, and compared with the code by every test run. The tables of attention forms, transformers, fused operators
and networks are models that the tests build as exporters write them; the last one reads the files of \`DGATE_DATA\`.

Of pruning, *exact* means: the pruned model and the masked one give the same outputs in onnxruntime, up to 1e-5 of their scale.

*Differentiable* is about the gradient of a random weighted sum of all outputs with respect to all weights. *Exact* means:

- the form in which the model is differentiated gives the model's outputs in onnxruntime, up to 1e-4 of their scale (of models with
  float16 weights 1e-2);
- the gradient that onnxruntime computes is what the same nodes give in float64, up to 1e-3 of its scale;
- that one is what central differences of the form in float64 give along two random directions of all weights, one for a model of more
  than two million weights, up to 1e-5 of what a random direction has;
- the gradient is made of standard operators that onnxruntime has for CPU and WASM, each needed, none computed twice.

Weights of toy models that are all one number are drawn anew for this. Quantized models are differentiated in the float form that
their codes stand for. A decoder whose two branches were merged into an \`If\` is refused by the name of that node: differentiate one
of its branches as a model.
`;
