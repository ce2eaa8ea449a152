import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { network, networkNames, stored } from "../../test/gated-networks.ts";
import { float } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { fingerprint } from "../prune/mask.ts";
import { findSites } from "../sites/find-sites.ts";
import { foldGates } from "./fold-gates.ts";
import { gatesKey, parseGates, printGates } from "./gate-record.ts";
import { type GateOptions, insertGates } from "./insert-gates.ts";
import { readGates } from "./read-gates.ts";

const gate = (graph: Graph, options?: GateOptions): Graph => insertGates(graph, findSites(graph), options);

/** What `run` throws, or its result. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

const refused = (code: string, message: RegExp): unknown =>
  expect.objectContaining({ name: "DgateError", code, message: expect.stringMatching(message) });

test.each(networkNames)("folding gates of one gives back %s, to the bit", (name) => {
  const dense = stored(network(name));
  dense.info = { ...dense.info, metadata: new Map([["author", "us"]]) };
  for (const depth of [2, 5]) {
    const gated = gate(dense, { depth });
    expect(String(gated)).not.toBe(String(dense));
    const { graph: folded } = foldGates(gated);
    expect(String(folded)).toBe(String(dense));
    expect(Buffer.compare(writeModel(folded), writeModel(dense))).toBe(0);
    expect(fingerprint(folded)).toBe(fingerprint(dense));
  }
});

test.each(networkNames)("a gated %s that is written and read is gated as before", (name) => {
  const dense = network(name);
  const gated = gate(dense, { depth: 3, initial: "balanced", roles: { neurons: ["parameter"] } });
  const read = readModel(writeModel(gated));
  expect(readGates(read)).toEqual(readGates(gated));
  const [a, b] = [foldGates(read), foldGates(gated)];
  expect(String(a.graph)).toBe(String(readModel(writeModel(b.graph))));
  expect(a.groups).toEqual(b.groups);
  expect(findSites(a.graph).map(({ name: site }) => site)).toEqual(
    findSites(dense).map(({ name: site }) => site),
  );
});

test("the model is left as it is", () => {
  const gated = gate(network("cnn"), { initial: "balanced" });
  const before = writeModel(gated);
  foldGates(gated);
  expect(Buffer.compare(writeModel(gated), before)).toBe(0);
});

test("folded groups tell the product of their gates and the norm of all that is in them", () => {
  const gated = gate(network("attention"), { sites: ["heads"], depth: 3 });
  const gates = { "attn.heads.gate.1": [1, 2, 0], "attn.heads.gate.2": [-3, 0.5, 4] };
  const { graph: folded, groups } = foldGates(gated, { gates });
  expect(groups.map(({ name, kind, sites }) => ({ name, kind, sites }))).toEqual([
    { name: "attn.heads", kind: "heads", sites: ["attn.heads"] },
  ]);
  expect([...groups[0]!.gates]).toEqual([-3, 1, 0]);
  const [v, o] = ["v/kernel", "o/kernel"].map((name) => readNumbers(folded.value(name)!.data!));
  const norm = (head: number): number => {
    const columns = Array.from(v!).filter((_, i) => Math.floor((i % 12) / 4) === head);
    const rows = Array.from(o!).filter((_, i) => Math.floor(i / 8 / 4) === head);
    return Math.hypot(...columns, ...rows);
  };
  expect(groups[0]!.norms).toBeAllClose([norm(0), norm(1), 0], "float32");
});

test("gates without default in the file are folded where they are given", () => {
  const gated = gate(network("mlp"), { sites: ["fc1.neurons"] });
  const name = "fc1.neurons.gate.1";
  const bare = gated.clone();
  bare.value(name)!.data = undefined;
  expect(outcome(() => foldGates(bare))).toEqual(refused("OPTION", /"fc1.neurons.gate.1" has no default/));
  const gates = { [name]: [1, 2, 3, 4, 5, 6, 7] };
  expect(writeModel(foldGates(bare, { gates }).graph)).toEqual(writeModel(foldGates(gated, { gates }).graph));
});

test.each<[string, Record<string, number[]>, string, RegExp]>([
  ["of another name", { other: [1] }, "OPTION", /no gate "other"; the model has fc1.neurons.gate.1, mid/],
  ["of another count", { "fc1.neurons.gate.1": [1] }, "SHAPE", /has 7 groups, got 1 values/],
  ["that are NaN", { "mid.neurons.gate.1": [1, 1, Number.NaN, 1, 1, 1] }, "DATA", /is NaN at group 2/],
])("gates %s are refused", (_, gates, code, message) => {
  expect(outcome(() => foldGates(gate(network("mlp")), { gates }))).toEqual(refused(code, message));
});

test("a model without gates has none to read or fold", () => {
  expect(readGates(network("mlp")).size).toBe(0);
  expect(outcome(() => foldGates(network("mlp")))).toEqual(refused("NO_MATCH", /has no gates/));
});

/** A gated model whose record is another text. */
function withRecord(edit: (record: { depth: number; sites: Record<string, unknown>[] }) => unknown): Graph {
  const gated = gate(network("mlp"), { depth: 3 });
  const record = JSON.parse(gated.info.metadata.get(gatesKey)!);
  const text = edit(record);
  const metadata = new Map([[gatesKey, typeof text === "string" ? text : JSON.stringify(text ?? record)]]);
  gated.info = { ...gated.info, metadata };
  return gated;
}

type Members = {
  tensor: string;
  axis: number;
  gated: string;
  places: { offset: number; stride: number; loops: object[] }[];
}[];

test.each<[string, Parameters<typeof withRecord>[0], string, RegExp]>([
  ["no JSON", () => "{", "FORMAT", /dgate.gates: the metadata entry is not JSON/],
  ["a list", () => [], "FORMAT", /dgate.gates: expected an object/],
  [
    "another version",
    (r) => ({ ...r, version: 2 }),
    "FORMAT",
    /dgate.gates.version: expected 1; a newer @dgate/,
  ],
  [
    "a depth of one",
    (r) => ({ ...r, depth: 1 }),
    "FORMAT",
    /depth: expected a whole number of at least 2, got 1/,
  ],
  ["another depth", (r) => ({ ...r, depth: 4 }), "FORMAT", /has 2 gates, but the depth is 4: expected 3/],
  [
    "an unknown kind",
    (r) => void (r.sites[0]!["kind"] = "cells"),
    "FORMAT",
    /sites\[0\].kind: expected one of neurons/,
  ],
  ["no member", (r) => void (r.sites[0]!["members"] = []), "FORMAT", /members: expected at least one/],
  [
    "too many groups",
    (r) => void (r.sites[0]!["groups"] = 1e9),
    "GROUP",
    /1000000000 groups of 1 indices do not fit an axis of 7/,
  ],
  ["too few groups", (r) => void (r.sites[0]!["groups"] = 6), "GROUP", /is not float32\[6\]/],
  ["a missing gate", (r) => void (r.sites[0]!["gates"] = ["a", "b"]), "GROUP", /no input "a"/],
  [
    "a weight as gate",
    (r) => void (r.sites[0]!["gates"] = ["fc1/bias", "fc1/bias"]),
    "GROUP",
    /no input "fc1\/bias"/,
  ],
  [
    "the gates of another site",
    (r) => void (r.sites[0]!["gates"] = (r.sites[0]!["gates"] as string[]).toReversed()),
    "GROUP",
    /is not its weight times its gates/,
  ],
  [
    "a tensor that is not there",
    (r) => void ((r.sites[0]!["members"] as Members)[0]!.tensor = "nowhere"),
    "GROUP",
    /no constant "nowhere"/,
  ],
  [
    "an axis that is not there",
    (r) => void ((r.sites[0]!["members"] as Members)[0]!.axis = 2),
    "GROUP",
    /\[5, 7\] and has no axis 2/,
  ],
  [
    "the other axis",
    (r) => void Object.assign((r.sites[1]!["members"] as Members)[0]!, { axis: 1 }),
    "GROUP",
    /"mid\/kernel" is not|is not its weight times its gates/,
  ],
  [
    "a tensor twice",
    (r) => {
      const members = r.sites[0]!["members"] as Members;
      members.push(members[0]!);
    },
    "FORMAT",
    /names a tensor twice/,
  ],
  [
    "another value as the gated weight",
    (r) => void ((r.sites[0]!["members"] as Members)[0]!.gated = "relu_1_output_0"),
    "GROUP",
    /"relu_1_output_0" is not its weight times its gates/,
  ],
  [
    "places outside the axis",
    (r) => void ((r.sites[0]!["members"] as Members)[0]!.places[0]!.offset = 3),
    "GROUP",
    /group 4 has index 7, the axis ends at 6/,
  ],
  [
    "places that overlap",
    (r) => void ((r.sites[0]!["members"] as Members)[0]!.places[0]!.stride = 0),
    "GROUP",
    /index 0 is in the groups 0 and 1/,
  ],
  [
    "loops without end",
    (r) => void (r.sites[0]!["members"] as Members)[0]!.places[0]!.loops.push({ count: 1e15, stride: 1 }),
    "GROUP",
    /do not fit an axis of 7/,
  ],
  [
    "loops without number",
    (r) => {
      (r.sites[0]!["members"] as Members)[0]!.places[0]!.loops = Array.from({ length: 65 }, () => ({
        count: 1,
        stride: 1,
      }));
    },
    "FORMAT",
    /loops: expected at most 64/,
  ],
])("a record with %s is refused", (_, edit, code, message) => {
  const gated = withRecord(edit);
  expect(outcome(() => foldGates(gated))).toEqual(refused(code, message));
  expect(outcome(() => readGates(gated))).toEqual(refused(code, message));
});

test.each<[string, (graph: Graph) => void, RegExp]>([
  [
    "a weight that is used beside its gates",
    (graph) => {
      graph.addOutput(graph.addNode({ op: "Relu", inputs: [graph.value("fc1/kernel")!] }).outputs[0]!);
    },
    /"fc1\/kernel" is used by something else than its gates/,
  ],
  [
    "a gate that is used elsewhere",
    (graph) => {
      graph.addOutput(
        graph.addNode({ op: "Relu", inputs: [graph.value("fc1.neurons.gate.1")!] }).outputs[0]!,
      );
    },
    /gate "fc1.neurons.gate.1" .* is used outside of its weights/,
  ],
  [
    "another operator",
    (graph) => {
      const made = graph.producer(graph.value("fc1.neurons.gate/Mul")!)!;
      const sum = graph.addNode({ op: "Add", inputs: made.inputs }).outputs[0]!;
      graph.replaceUses(made.outputs[0]!, sum);
      graph.remove(made);
    },
    /is not its weight times its gates/,
  ],
  [
    "an attribute more",
    (graph) => {
      graph.setAttribute(graph.producer(graph.value("fc1.neurons.gate/Mul")!)!, "alpha", float(2));
    },
    /is not its weight times its gates/,
  ],
  [
    "another constant",
    (graph) => {
      graph.value("mid.neurons.gate/constant")!.data = tensorOf("int64", [2], [1, 6]);
    },
    /is not its weight times its gates/,
  ],
  [
    "a gate that is no input",
    (graph) => graph.undeclareInput(graph.value("fc1.neurons.gate.2")!),
    /no input "fc1.neurons.gate.2"/,
  ],
  [
    "an older IR version",
    (graph) => {
      graph.info = { ...graph.info, irVersion: 3 };
    },
    /IR version 3 has no inputs with defaults/,
  ],
])("a graph with %s is not folded", (_, edit, message) => {
  const gated = gate(network("mlp"), { depth: 3 });
  edit(gated);
  expect(outcome(() => foldGates(gated))).toEqual(refused("GROUP", message));
});

test("any damaged record gives the model's own gates or a typed error", () => {
  const gated = gate(network("attention"), { depth: 3 });
  const text = gated.info.metadata.get(gatesKey)!;
  expect(printGates(parseGates(text))).toBe(text);
  const whole = String(foldGates(gated).graph);
  const change = fc.record({
    at: fc.nat(text.length - 1),
    length: fc.nat(6),
    by: fc.string({ maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const damaged = changes.reduce(
        (s, { at, length, by }) => s.slice(0, at) + by + s.slice(at + length),
        text,
      );
      const graph = gated.clone();
      graph.info = { ...graph.info, metadata: new Map([[gatesKey, damaged]]) };
      const result = outcome(() => foldGates(graph));
      const folded = (result as Partial<ReturnType<typeof foldGates>>).graph; // absent from an error
      const fine = folded ? String(folded) === whole : result instanceof DgateError;
      expect({ fine, result: String(result) }).toMatchObject({ fine: true });
    }),
    { numRuns: 500 },
  );
});
