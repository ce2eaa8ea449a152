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
import { markdownTable } from "./markdown.ts";
import { type Account, accountOf, outcome } from "./prune-heads.ts";

// `pnpm coverage` writes docs/coverage.md anew; a plain test run compares it with what the code does.
const file = fileURLToPath(new URL("../../../../docs/coverage.md", import.meta.url));
const update = process.env["DGATE_UPDATE"] !== undefined;
const before = existsSync(file) ? readFileSync(file, "utf8") : "";

const cellsOf = ({ found, oneHead, halfOfHeads, halfOfAll }: Account): string[] => [
  found,
  oneHead,
  halfOfHeads,
  halfOfAll,
];

const fed = (model: TransformerModel) => ({ feeds: [feedsOf(model, 1), feedsOf(model, 2)] });

/** One section of the file per test; each is compared with what the file holds. */
const sections = new Map<string, string>();

function checkSection(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const text = `## ${title}\n\n${markdownTable(header, rows)}\n`;
  sections.set(title, text);
  if (!update) expect(before, "run `pnpm coverage` and read what changed").toContain(text);
}

const attentionHeader = [
  "found",
  "one head removed",
  "half of all heads removed",
  "half of all that goes by default",
];

/** Nothing of our own may be other than exact: what is declined stands in tables of its own. */
const expectExact = (cells: readonly string[]): void => {
  for (const cell of cells) expect(cell).toMatch(/^(|exact|\d.*heads? of \d+.*)$/);
};

describe("docs/coverage.md is what the code does", { timeout: 600_000 }, () => {
  test("forms of attention", async () => {
    const rows: string[][] = [];
    for (const { id, name, build } of patterns) {
      const model = build();
      const cells = cellsOf(await accountOf(model.graph, fed(model)));
      expectExact(cells);
      rows.push([id, name, ...cells]);
    }
    checkSection("Un-fused attention", ["pattern", "form", ...attentionHeader], rows);
  });

  test("transformers", async () => {
    const rows: string[][] = [];
    for (const { name, build } of transformerModels) {
      const model = build();
      const cells = cellsOf(await accountOf(model.graph, fed(model)));
      expectExact(cells);
      rows.push([name, ...cells]);
    }
    checkSection("Transformers", ["model", ...attentionHeader], rows);
  });

  test("fused operators", async () => {
    const rows: string[][] = [];
    for (const { name, build, dims = {} } of attentionForms) {
      const cells = cellsOf(await accountOf(build(), { dims, runtime: "node" }));
      expectExact(cells);
      rows.push([name, ...cells]);
    }
    checkSection("Fused attention", ["form", ...attentionHeader], rows);
    const declined = Object.entries(declinedOps).map(([op, reason]) => [op, reason]);
    checkSection("Fused operators that are declined", ["operator", "reason"], declined);
  });

  test("convolutional networks", async () => {
    const rows: string[][] = [];
    for (const { name, variants, width, build, chosen, dims = {} } of families) {
      for (const variant of variants) {
        const graph = build(width, variant);
        const sites = findSites(graph);
        const options = { sparsity: 0.5, ...(chosen && { sites: chosen }) };
        const half = await outcome(graph, sites, options, { dims });
        expectExact([half]);
        const reasons = sites.flatMap(({ prunable }) => (prunable === true ? [] : [prunable]));
        const open = sites.length - reasons.length;
        rows.push([name, variant, `${open} of ${sites.length}`, half, [...new Set(reasons)].join("; ")]);
      }
    }
    checkSection(
      "Convolutional networks",
      ["network", "form", "prunable sites", "half of each site removed", "what stays, and why"],
      rows,
    );
  });

  test("quantized forms", async () => {
    const rows: string[][] = [];
    for (const [name, { make, block = 1 }] of Object.entries(quantizedForms)) {
      const graph = await make(denseNet(1, 32, [64, 64, 8]));
      const sites = findSites(graph);
      const groups = sites.flatMap((site) => (site.prunable === true ? [site.groups] : []));
      const half = await outcome(graph, sites, { sparsity: 0.5 }, { runtime: "node" });
      rows.push([name, block === 1 ? "single" : `whole blocks of ${block}`, groups.join(", "), half]);
    }
    checkSection(
      "Quantized models (an MLP of 64 and 64 neurons)",
      ["form", "neurons go", "groups", "half removed"],
      rows,
    );
  });

  const folder = dataFolder();
  test.skipIf(folder === undefined)("models from elsewhere", async () => {
    const rows: string[][] = [];
    for (const path of modelsBelow(folder!)) {
      const graph: Graph = readModel(readFileSync(join(folder!, path)));
      rows.push([path, ...cellsOf(await accountOf(graph, { runtime: "node" }))]);
    }
    for (const row of rows) expect(row.join(" ")).not.toMatch(/DIFFERS|nothing went/);
    checkSection("Models that nobody here wrote", ["file", ...attentionHeader], rows);
  });

  test("the file has no other section", () => {
    if (folder === undefined && !update) return; // printed above: the last section cannot be made here
    const text = `${preface}\n${[...sections.values()].join("\n")}`;
    if (update) writeFileSync(file, text);
    else expect(before).toBe(text);
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

const preface = `# What @dgate/onnx prunes

Made by \`pnpm coverage\`, and compared with the code by every test run. *exact*: the pruned model and the masked one give the same
outputs in onnxruntime, up to 1e-5 of their scale. The tables of attention forms, transformers, fused operators and networks are
models that the tests build as exporters write them; the last one reads the files of \`DGATE_DATA\`.
`;
