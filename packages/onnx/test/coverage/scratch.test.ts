import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readModel } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { test } from "vitest";
import { quantizedForms } from "../models/all-quantized-forms.ts";
import { families } from "../models/families.ts";
import { attentionForms } from "../models/fused-forms.ts";
import { transformerModels } from "../models/models.ts";
import { patterns } from "../models/patterns.ts";
import { denseNet } from "../models/quantizable.ts";
import { feedsOf } from "../models/transformer-model.ts";
import { differentiable } from "./differentiate.ts";

const which = (process.env["WHICH"] ?? "patterns,transformers,fused,cnn,quantized,files").split(",");
const only = new RegExp(process.env["ONLY"] ?? ".");
const totals: Record<string, number> = {};
const say = async (table: string, name: string, run: () => Promise<string>) => {
  if (!only.test(name)) return;
  const start = performance.now();
  let text;
  try { text = await run(); } catch (error) { text = `THROWS ${(error as Error).stack?.split("\n").slice(0, 8).join("\n")}`; }
  const ms = performance.now() - start;
  totals[table] = (totals[table] ?? 0) + ms;
  process.stdout.write(`${table} | ${name} | ${text} | ${ms.toFixed(0)} ms\n`);
};
test("all", { timeout: 3e6 }, async () => {
  if (which.includes("patterns")) for (const { id, name, build } of patterns) await say("patterns", `${id} ${name}`, async () => { const m = build(); return differentiable(m.graph, { feeds: [feedsOf(m, 1)] }); });
  if (which.includes("transformers")) for (const { name, build } of transformerModels) await say("transformers", name, async () => { const m = build(); return differentiable(m.graph, { feeds: [feedsOf(m, 1)] }); });
  if (which.includes("fused")) for (const { name, build, dims = {} } of attentionForms) await say("fused", name, () => differentiable(build(), { dims, runtime: "node" }));
  if (which.includes("cnn")) for (const { name, variants, width, build, dims = {} } of families) for (const v of variants) await say("cnn", `${name} ${v}`, () => differentiable(build(width, v), { dims }));
  if (which.includes("quantized")) for (const [name, { make }] of Object.entries(quantizedForms)) await say("quantized", name, async () => differentiable(await make(denseNet(1, 32, [64, 64, 8])), { runtime: "node" }));
  const folder = dataFolder()!;
  if (which.includes("files")) for (const part of ["onnx-structures", "models"]) for (const entry of readdirSync(join(folder, part), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".onnx")) continue;
    const path = join(entry.parentPath, entry.name);
    await say("files", path.slice(folder.length + 1), () => differentiable(readModel(readFileSync(path)), { runtime: "node" }));
  }
  console.log(totals);
});
