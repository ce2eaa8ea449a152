import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Graph, readModel, readNumbers, tensorOf, writeModel } from "@dgate/onnx";
import { describe, expect, onTestFinished, test } from "vitest";
import type { GatedBlock, SiteGroup } from "../../src/blocks/block.ts";
import type { HeadGates } from "../../src/head-gates.ts";
import { openHeadGates } from "../../src/open-head-gates.ts";
import { sessionSlots } from "../../src/library/session-slots.ts";
import type { LibraryPipeline } from "../../src/library/library.ts";
import { tinyBertFolder, tinyTexts } from "../tiny-bert-folder.ts";

/** Logits of a float32 model computed in another order differ by less. */
const tolerance = 1e-5;

/** A change of a logit that is no rounding. */
const visible = 1e-3;

/** Logits of the tiny texts, one text a call. */
export async function logitsOf({ tokenizer, model }: LibraryPipeline): Promise<number[]> {
  const found: number[] = [];
  for (const text of tinyTexts) {
    const encoding = await tokenizer!([text]);
    const call = model as unknown as (inputs: unknown) => Promise<{ logits: { data: Float32Array } }>; // a model is called in every version
    found.push(...(await call(encoding)).logits.data);
  }
  return found;
}

const largest = (a: readonly number[], b: readonly number[]): number =>
  a.length === b.length ? Math.max(...a.map((value, i) => Math.abs(value - b[i]!))) : Number.NaN;

const factor = (group: number, scale: number) => (index: number) => (index === group ? scale : 1);

/** The dense model with the weights that read one group of a block scaled by hand. */
function scaledReader(graph: Graph, block: GatedBlock, scaleOf: (group: number) => number): Uint8Array {
  const copy = graph.clone();
  const [reader] = block.site.coupled.filter(({ role }) => role === "consumer");
  const weight = copy.value(reader!.tensor)!;
  const { dtype, shape } = weight.data!;
  // Here all readers are [in, out]: the groups are equal runs of rows.
  const rows = shape[0]! / block.groups;
  const numbers = Array.from(readNumbers(weight.data!), (value, i) => {
    return value * scaleOf(Math.floor(i / shape[1]! / rows));
  });
  copy.setData(weight, tensorOf(dtype, shape, numbers));
  return writeModel(copy);
}

/** A folder that the test removes. */
async function temporary(): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "dgate-attach-"));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  return parent;
}

/** Logits of a model's bytes, in a session of the library's own in the pipeline's place. */
async function logitsOfBytes(gates: HeadGates, bytes: Uint8Array): Promise<number[]> {
  const [slot] = sessionSlots(gates.pipeline.model);
  const before = slot!.get();
  const session = await gates.internals.runtime.sessionClass.create(bytes);
  slot!.set(Object.assign(session, { config: before.config }));
  try {
    return await logitsOf(gates.pipeline);
  } finally {
    slot!.set(before);
    // Version 2 has none.
    await (session as Partial<typeof session>).release?.();
  }
}

/** How gates act on a pipeline of one version of transformers.js. */
export function describeAttach(library: string, load: () => Promise<unknown>): void {
  const open = async (sites: readonly SiteGroup[] = ["heads"]): Promise<HeadGates> => {
    const folder = await tinyBertFolder(await temporary());
    const gates = await openHeadGates(folder, { sites, transformers: await load() });
    onTestFinished(async () => {
      await gates.dispose();
      await gates.pipeline.dispose?.();
    });
    return gates;
  };

  describe(`gates in a pipeline of ${library}`, () => {
    test("gates of one change nothing; a gate acts on the next call", async () => {
      const gates = await open();
      const dense = await logitsOf(gates.pipeline);
      await gates.attach();
      expect(largest(await logitsOf(gates.pipeline), dense)).toBeLessThan(tolerance);
      gates.set(0, 1, 0);
      expect(largest(await logitsOf(gates.pipeline), dense)).toBeGreaterThan(visible);
      gates.reset();
      expect(largest(await logitsOf(gates.pipeline), dense)).toBeLessThan(tolerance);
    });

    test("heads that are off are as good as removed", async () => {
      const gates = await open();
      await gates.attach();
      gates.set(0, 1, 0).set(0, 2, 0).set(1, 3, 0);
      const masked = await logitsOf(gates.pipeline);
      const pruned = await gates.prune();
      const restore = await pruned.attach();
      expect(largest(await logitsOf(gates.pipeline), masked)).toBeLessThan(tolerance);
      await restore();
      expect(largest(await logitsOf(gates.pipeline), masked)).toBe(0);
      expect(pruned.files[0]!.after.parameters).toBeLessThan(pruned.files[0]!.before.parameters);
    });

    test.each([
      ["heads", 0.5],
      ["heads", -2],
      ["ffn", 0.5],
      ["ffn", 0],
    ] as const)("a gate of %s at %f scales what reads the group by as much", async (site, value) => {
      const gates = await open([site]);
      const [table, group] = [gates[site], 2];
      const dense = await logitsOf(gates.pipeline);
      table.set(1, group, value);
      await gates.attach();
      const gated = await logitsOf(gates.pipeline);
      await gates.dispose();
      const [part] = gates.internals.parts;
      const byHand = scaledReader(part!.source.graph, table.blocks[1]!, factor(group, value));
      expect(largest(await logitsOfBytes(gates, byHand), gated)).toBeLessThan(tolerance);
      // A single neuron may matter little.
      expect(largest(dense, gated)).toBeGreaterThan(site === "heads" ? visible : tolerance);
    });

    test("a residual branch at zero gives zero: its weight and bias are off", async () => {
      const gates = await open(["layers"]);
      const dense = await logitsOf(gates.pipeline);
      gates.layers.set(0, 0, 0);
      await gates.attach();
      const gated = await logitsOf(gates.pipeline);
      await gates.dispose();
      const graph = readModel(writeModel(gates.internals.parts[0]!.source.graph));
      const dense0 = graph.nodes().find((node) => {
        return node.name === "/bert/encoder/layer.0/attention/output/dense/MatMul";
      })!;
      const add = graph.uses(dense0.outputs[0]!)[0]!.node!;
      for (const value of [...dense0.inputs, ...add.inputs]) {
        if (!value?.data) continue;
        const { dtype, shape } = value.data;
        graph.setData(value, tensorOf(dtype, shape, new Float32Array(shape.reduce((a, b) => a * b, 1))));
      }
      expect(largest(await logitsOfBytes(gates, writeModel(graph)), gated)).toBeLessThan(tolerance);
      expect(largest(dense, gated)).toBeGreaterThan(visible);
    });

    test("detach puts the very session back, in whatever order, and twice", async () => {
      const gates = await open();
      const [slot] = sessionSlots(gates.pipeline.model);
      const own = slot!.get();
      const dense = await logitsOf(gates.pipeline);
      const first = await gates.attach();
      const second = await gates.attach();
      gates.set(0, 0, 0);
      expect(slot!.get()).not.toBe(own);
      const masked = await logitsOf(gates.pipeline);
      expect(largest(masked, dense)).toBeGreaterThan(visible);
      // The one that is in place stays.
      await first();
      expect(await logitsOf(gates.pipeline)).toEqual(masked);
      await second();
      expect(slot!.get()).toBe(own);
      await second();
      await first();
      expect(await logitsOf(gates.pipeline)).toEqual(dense);
    });

    test("dispose undoes all that was attached, the pruned model beneath it too", async () => {
      const gates = await open();
      const [slot] = sessionSlots(gates.pipeline.model);
      const own = slot!.get();
      const dense = await logitsOf(gates.pipeline);
      const pruned = await gates.prune({ keep: 0.5 });
      const restore = await pruned.attach();
      await gates.attach();
      await gates.attach();
      await restore();
      await gates.dispose();
      expect(slot!.get()).toBe(own);
      await gates.dispose();
      expect(await logitsOf(gates.pipeline)).toEqual(dense);
    });

    test("a second pipeline of the same model runs through the gates, the first one not", async () => {
      const gates = await open();
      const other = await openHeadGates(gates.internals.model.files.name, { transformers: await load() });
      onTestFinished(async () => void (await other.pipeline.dispose?.()));
      const dense = await logitsOf(gates.pipeline);
      gates.set(0, 0, 0);
      const detach = await gates.attach(other.pipeline);
      expect(largest(await logitsOf(other.pipeline), dense)).toBeGreaterThan(visible);
      expect(await logitsOf(gates.pipeline)).toEqual(dense);
      await detach();
      // A model without its pipeline will do, and may be disposed of before the gates are.
      await gates.attach(other.pipeline.model);
      expect(largest(await logitsOf(other.pipeline), dense)).toBeGreaterThan(visible);
    });

    test("gates open from a pipeline that runs through gates already", async () => {
      const gates = await open();
      gates.set(0, 0, 0);
      await gates.attach();
      const masked = await logitsOf(gates.pipeline);
      const again = await openHeadGates(gates.pipeline, {
        model: gates.internals.model.files.name,
        transformers: await load(),
      });
      const detach = await again.attach();
      expect(largest(await logitsOf(gates.pipeline), masked)).toBeGreaterThan(visible);
      await detach();
      expect(await logitsOf(gates.pipeline)).toEqual(masked);
    });

    test("a pipeline of another model, and what is no pipeline, are refused and left as they are", async () => {
      const gates = await open();
      const folder = await tinyBertFolder(await temporary(), {
        head: "pooler",
        config: { architectures: ["BertModel"] },
      });
      const other = await openHeadGates(folder, { transformers: await load() });
      onTestFinished(async () => void (await other.pipeline.dispose?.()));
      const [slot] = sessionSlots(other.pipeline.model);
      const own = slot!.get();
      await expect(gates.attach(other.pipeline)).rejects.toMatchObject({
        code: "CHECK",
        message: expect.stringMatching(/gives last_hidden_state, pooler_output, that of the gates logits/),
      });
      expect(slot!.get()).toBe(own);
      // What a caller without types may give.
      const nothing = { config: {} } as unknown as LibraryPipeline;
      await expect(gates.attach(nothing)).rejects.toMatchObject({
        code: "OPTION",
        message: expect.stringContaining("holds no onnxruntime session"),
      });
      class InferenceSession {
        inputNames = own.inputNames;
        outputNames = own.outputNames;
      }
      const foreign = { config: {}, sessions: { model: new InferenceSession() } };
      await expect(gates.attach(foreign as unknown as LibraryPipeline)).rejects.toMatchObject({
        code: "OPTION",
        message: expect.stringContaining("another copy of onnxruntime"),
      });
    });
  });
}
