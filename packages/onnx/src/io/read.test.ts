import { DgateError } from "@dgate/core";
import { describe, expect, test } from "vitest";
import {
  type Field,
  identity,
  initializer,
  message,
  model,
  node,
  output,
  packed,
} from "../../test/hand-made-model.ts";
import { smallModel } from "../../test/small-model.ts";
import { float, ints, string } from "../graph/attribute.ts";
import { Graph } from "../graph/graph.ts";
import { type DataType, dataTypes } from "../graph/tensor.ts";
import { WireWriter } from "../proto/wire-writer.ts";
import { byteLengthOf } from "./element-types.ts";
import { readModel, type ReadOptions } from "./read.ts";
import { readNumbers, readStrings } from "./tensor-data.ts";
import { writeModel } from "./write.ts";

function refusal(bytes: Uint8Array, options?: ReadOptions): string {
  try {
    readModel(bytes, options);
  } catch (error) {
    if (error instanceof DgateError && error.code === "FORMAT") return error.message;
    throw error;
  }
  return "accepted";
}

const content = (...fields: Field[]): unknown => [
  ...readNumbers(readModel(identity(...fields)).value("c")!.data!),
];

test("a pointer of Git LFS in the place of a model is told", () => {
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 44320244\n";
  expect(() => readModel(new TextEncoder().encode(pointer), { name: "model.onnx" })).toThrow(
    expect.objectContaining({ code: "FORMAT", message: expect.stringContaining("git lfs pull") as string }),
  );
});

describe("tensor content", () => {
  const floats = new Uint8Array(Float32Array.of(1.5, -2).buffer);
  const doubles = new Uint8Array(Float64Array.of(1.5, -2).buffer);

  test.each<[string, number[], Field[]]>([
    [
      "raw_data",
      [1.5, -2],
      [
        [2, 1],
        [1, 2],
        [9, floats],
      ],
    ],
    [
      "packed float_data",
      [1.5, -2],
      [
        [2, 1],
        [1, 2],
        [4, floats],
      ],
    ],
    [
      "double_data",
      [1.5, -2],
      [
        [2, 11],
        [1, 2],
        [10, doubles],
      ],
    ],
    [
      "packed dims",
      [1.5, -2],
      [
        [2, 1],
        [1, packed(1, 2)],
        [9, floats],
      ],
    ],
    [
      "int32_data",
      [-1, 7],
      [
        [2, 6],
        [1, 2],
        [5, packed(-1, 7)],
      ],
    ],
    [
      "single int32_data",
      [-1, 7],
      [
        [2, 6],
        [1, 2],
        [5, -1],
        [5, 7],
      ],
    ],
    [
      "int32_data of int8",
      [-1, 7],
      [
        [2, 3],
        [1, 2],
        [5, packed(-1, 7)],
      ],
    ],
    [
      "int32_data of uint16",
      [65535, 7],
      [
        [2, 4],
        [1, 2],
        [5, packed(65535, 7)],
      ],
    ],
    [
      "int32_data of float16",
      [1, -2],
      [
        [2, 10],
        [1, 2],
        [5, packed(0x3c00, 0xc000)],
      ],
    ],
    [
      "int32_data of bool",
      [1, 0],
      [
        [2, 9],
        [1, 2],
        [5, packed(1, 0)],
      ],
    ],
    [
      "int32_data of int4",
      [-1, 7, 2],
      [
        [2, 22],
        [1, 3],
        [5, packed(0x7f, 0x02)],
      ],
    ],
    [
      "int64_data",
      [-5, 2 ** 40],
      [
        [2, 7],
        [1, 2],
        [7, packed(-5, 2 ** 40)],
      ],
    ],
    [
      "uint64_data",
      [2 ** 32 - 1, 7],
      [
        [2, 12],
        [1, 2],
        [11, packed(2 ** 32 - 1, 7)],
      ],
    ],
    [
      "no content of an empty tensor",
      [],
      [
        [2, 1],
        [1, 0],
      ],
    ],
    [
      "a scalar",
      [1.5],
      [
        [2, 1],
        [9, floats.subarray(0, 4)],
      ],
    ],
    [
      "the dtype after the content",
      [-1, 7],
      [
        [1, 2],
        [5, packed(-1, 7)],
        [2, 3],
      ],
    ],
  ])("%s", (_, values, fields) => {
    expect(content(...fields)).toEqual(values);
  });

  test("raw content is a view on the file, not a copy", () => {
    const bytes = identity([2, 1], [1, 2], [9, floats]);
    expect(readModel(bytes).value("c")!.data!.bytes.buffer).toBe(bytes.buffer);
  });

  test("of two raw contents the last one counts, as for every protobuf field that is not repeated", () => {
    const other = new Uint8Array(Float32Array.of(3, 4).buffer);
    expect(content([2, 1], [1, 2], [9, other], [9, floats])).toEqual([1.5, -2]);
  });

  test("string_data", () => {
    const graph = readModel(identity([2, 8], [1, 2], [6, "a"], [6, "ß"]));
    expect(readStrings(graph.value("c")!.data!)).toEqual(["a", "ß"]);
  });

  test("every element type survives writing and reading", () => {
    for (const dtype of Object.keys(dataTypes) as DataType[]) {
      const graph = new Graph();
      const bytes = new Uint8Array(byteLengthOf(dtype, [3])).map((_, i) => (7 * i) % 4);
      const strings = [Uint8Array.of(65), Uint8Array.of(255), new Uint8Array(0)];
      const data = { dtype, shape: [3], bytes, ...(dtype === "string" && { strings }) };
      graph.addOutput(
        graph.addNode({ op: "Identity", inputs: [graph.addInitializer("c", data)] }).outputs[0]!,
      );
      expect(readModel(writeModel(graph)).value("c")!.data).toEqual(data);
    }
  });
});

const attribute = (...fields: Field[]): Uint8Array =>
  model(node("Op", [], ["y"], [5, [[1, "a"], ...fields]]), output("y"));

const readBack = (bytes: Uint8Array): unknown => {
  const [first] = readModel(bytes).nodes();
  const [again] = readModel(writeModel(readModel(bytes))).nodes();
  expect(again!.attributes).toEqual(first!.attributes);
  return first!.attributes.get("a");
};

describe("attributes", () => {
  test("the ends of int64 stand as safe integers and are written as they were", () => {
    const bytes = attribute([20, 7], [8, 2n ** 63n - 1n], [8, -(2n ** 63n)], [8, -3]);
    const value = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -3];
    expect(readBack(bytes)).toEqual({ kind: "ints", value });
    const written = writeModel(readModel(bytes));
    const end = new WireWriter();
    end.packedIntegers(8, [2n ** 63n - 1n, -(2n ** 63n), -3n]);
    expect(Buffer.from(written).includes(Buffer.from(end.finish()))).toBe(true);
  });

  test("what no kind can hold is kept as bytes", () => {
    expect(readBack(attribute([20, 2], [3, 2n ** 60n + 1n]))).toMatchObject({ kind: "opaque" });
    expect(readBack(attribute([20, 3], [4, Uint8Array.of(0xff)]))).toMatchObject({ kind: "opaque" });
    expect(readBack(attribute([20, 2], [21, "outer_attribute"]))).toMatchObject({ kind: "opaque" });
    expect(readBack(attribute([20, 13], [14, [[1, []]]]))).toMatchObject({ kind: "opaque" });
  });

  test("a value of 0 may be left out, a type may be missing, a doc string is kept", () => {
    expect(readBack(attribute([20, 2]))).toEqual({ kind: "int", value: 0 });
    expect(readBack(attribute([20, 3]))).toEqual({ kind: "string", value: "" });
    expect(readBack(attribute([3, 5]))).toEqual({ kind: "int", value: 5 });
    expect(readBack(attribute([20, 2], [3, 5], [13, "why"]))).toMatchObject({
      kind: "int",
      extra: { length: 5 },
    });
  });

  test("our own attributes come back", () => {
    const graph = new Graph();
    const attributes = { f: float(0.5), i: ints([1, -2]), s: string("ß") };
    graph.addOutput(graph.addNode({ op: "Op", inputs: [], attributes }).outputs[0]!);
    expect(Object.fromEntries(readModel(writeModel(graph)).nodes()[0]!.attributes)).toEqual(attributes);
  });
});

describe("graphs", () => {
  test("nodes in a wrong order are sorted; in a right order they are kept", () => {
    const x: Field = [11, [[1, "x"]]];
    const sorted = model(
      x,
      node("A", ["x"], ["a"]),
      node("B", ["x"], ["b"]),
      node("C", ["a", "b"], ["c"]),
      output("c"),
    );
    expect(
      readModel(sorted)
        .nodes()
        .map(({ op }) => op),
    ).toEqual(["A", "B", "C"]);
    const shuffled = model(
      x,
      node("C", ["a", "b"], ["c"]),
      node("B", ["x"], ["b"]),
      node("A", ["x"], ["a"]),
      output("c"),
    );
    expect(
      readModel(shuffled)
        .nodes()
        .map(({ op }) => op),
    ).toEqual(["A", "B", "C"]);
  });

  test("an initializer that is listed as an input stays one, and need not be fed", () => {
    const bytes = model(
      [11, [[1, "x"]]],
      [11, [[1, "w"]]],
      initializer("w", [2, 1], [9, new Uint8Array(4)]),
      node("Add", ["x", "w"], ["y"]),
      output("y"),
    );
    const graph = readModel(writeModel(readModel(bytes)));
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x", "w"]);
    expect(graph.requiredInputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test("fields of later versions, functions and doc strings are written back", () => {
    const bytes = message([
      [1, 13],
      [6, "model doc"],
      [25, [[1, "my_function"]]],
      [99, "from the future"],
      [7, [node("Op", [], ["y"], [6, "node doc"], [77, 5]), output("y"), [10, "graph doc"], [88, "later"]]],
      [
        8,
        [
          [1, "ai.onnx"],
          [2, 26],
        ],
      ],
      [
        14,
        [
          [1, "key"],
          [2, "value"],
        ],
      ],
    ]).finish();
    const graph = readModel(bytes);
    expect(graph.info.metadata).toEqual(new Map([["key", "value"]]));
    expect(graph.opsets).toEqual(new Map([["", 26]]));
    const written = Buffer.from(writeModel(graph));
    for (const text of ["model doc", "my_function", "from the future", "node doc", "graph doc", "later"]) {
      expect(written.includes(text)).toBe(true);
    }
    expect(written.includes(Buffer.from(message([[77, 5]]).finish()))).toBe(true);
  });

  test("a sparse initializer is a value of its full shape and is written back as it was", () => {
    const values: Field = [
      1,
      [
        [1, 1],
        [2, 1],
        [8, "s"],
        [9, new Uint8Array(4)],
      ],
    ];
    const indices: Field = [
      2,
      [
        [1, 1],
        [2, 7],
        [9, new Uint8Array(8)],
      ],
    ];
    const sparse: Field = [15, [values, indices, [3, packed(2, 3)]]];
    const graph = readModel(model(sparse, node("Relu", ["s"], ["y"]), output("y")));
    expect(graph.value("s")!.type).toEqual({ dtype: "float32", shape: [2, 3] });
    expect(Buffer.from(writeModel(graph)).includes(Buffer.from(message([sparse]).finish()))).toBe(true);
  });

  test("a subgraph takes values of the graph around it by name, however deep", () => {
    const inner: Field[] = [node("Mul", ["x", "k"], ["t"]), output("t")];
    const middle: Field[] = [
      node(
        "If",
        ["flag"],
        ["u"],
        [
          5,
          [
            [1, "then_branch"],
            [20, 5],
            [6, inner],
          ],
        ],
      ),
      output("u"),
    ];
    const bytes = model(
      [11, [[1, "x"]]],
      [11, [[1, "flag"]]],
      initializer("k", [2, 1], [9, new Uint8Array(4)]),
      node(
        "If",
        ["flag"],
        ["y"],
        [
          5,
          [
            [1, "then_branch"],
            [20, 5],
            [6, middle],
          ],
        ],
      ),
      output("y"),
    );
    const graph = readModel(bytes);
    const [outerIf] = graph.nodes("If");
    expect(graph.uses(graph.value("x")!)).toEqual([{ node: outerIf, index: -1 }]);
    graph.rename(graph.value("k")!, "scale");
    expect(Buffer.from(writeModel(graph)).includes("scale")).toBe(true);
    expect(String(readModel(writeModel(graph)))).toBe(String(graph));
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "" (ai.onnx 17)
        input %x
        input %flag
        const %scale: float32[]
        %y = If(%flag) {then_branch: {
          graph "" (ai.onnx 17)
            outer %flag
            outer %x
            outer %scale
            %u = If(%flag) {then_branch: {
              graph "" (ai.onnx 17)
                outer %x
                outer %scale
                %t = Mul(%x, %scale)
                return %t
            }}
            return %u
        }}
        return %y"
    `);
  });
});

/** The type of a ValueInfoProto. */
const tensorType = (elementType: number, ...dims: number[]): Field => [
  2,
  [
    [
      1,
      [
        [1, elementType],
        [2, dims.map((size): Field => [1, [[1, size]]])],
      ],
    ],
  ],
];

/** A sparse initializer of one number. */
const sparse = (...dims: number[]): Field => [
  15,
  [
    [
      1,
      [
        [1, 1],
        [2, 1],
        [8, "s"],
        [9, new Uint8Array(4)],
      ],
    ],
    [
      2,
      [
        [1, 1],
        [2, 7],
        [9, new Uint8Array(8)],
      ],
    ],
    [3, packed(...dims)],
  ],
];

describe("hostile files are refused with the place", () => {
  const x: Field = [11, [[1, "x"]]];
  test.each<[string, Uint8Array, RegExp]>([
    ["empty", new Uint8Array(0), /no graph in 0 bytes/],
    ["a picture", Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a), /byte 0/],
    [
      "two graphs",
      message([
        [7, []],
        [7, []],
      ]).finish(),
      /a second graph \(byte 2, field 7\)/,
    ],
    [
      "a dangling name",
      model(x, node("Relu", ["z"], ["y"]), output("y")),
      /Relu "y" reads "z", which nothing writes/,
    ],
    [
      "a shape of very many axes",
      model([
        11,
        [
          [1, "x"],
          [
            2,
            [
              [
                1,
                [
                  [1, 1],
                  [2, Array.from({ length: 65 }, (): Field => [1, [[1, 1]]])],
                ],
              ],
            ],
          ],
        ],
      ]),
      /a shape has more than 64 axes/,
    ],
    ["a dangling output", model(x, output("y")), /as an output, reads "y"/],
    [
      "a dangling name in a subgraph",
      model(
        node(
          "If",
          [],
          ["y"],
          [
            5,
            [
              [1, "b"],
              [20, 5],
              [6, [node("Relu", ["z"], ["t"]), output("t")]],
            ],
          ],
        ),
        output("y"),
      ),
      /a subgraph reads "z"/,
    ],
    ["a cycle", model(node("A", ["b"], ["a"]), node("B", ["a"], ["b"]), output("a")), /cycle through A "a"/],
    [
      "a name written twice",
      model(x, node("A", ["x"], ["a"]), node("B", ["x"], ["a"])),
      /already has a value named "a"/,
    ],
    ["an input given twice", model(x, x), /already has a value named "x"/],
    [
      "an initializer given twice",
      model(initializer("c", [2, 1], [1, 0]), initializer("c", [2, 1], [1, 0])),
      /already has a value named "c"/,
    ],
    [
      "an input's initializer given twice",
      model(x, initializer("x", [2, 1], [1, 0]), initializer("x", [2, 1], [1, 0])),
      /already has a value named "x"/,
    ],
    ["a node that writes an input", model(x, node("A", [], ["x"])), /already has a value named "x"/],
    [
      "an attribute given twice",
      model(
        node(
          "A",
          [],
          ["y"],
          [
            5,
            [
              [1, "a"],
              [20, 2],
            ],
          ],
          [
            5,
            [
              [1, "a"],
              [20, 2],
            ],
          ],
        ),
      ),
      /attribute "a" is given twice/,
    ],
    ["a node without operator", model([1, [[2, "y"]]]), /has no operator/],
    ["1e9 elements without content", identity([2, 1], [1, 1e9]), /needs 1000000000 numbers, got 0/],
    [
      "1e9 integers without content",
      identity([2, 7], [1, 1e9], [7, packed(1)]),
      /needs 1000000000 numbers, got 1/,
    ],
    ["a negative size", identity([2, 1], [1, -3]), /every size must be an integer ≥ 0, got -3/],
    [
      "more elements than numbers can count",
      identity([2, 1], [1, 2 ** 40], [1, 2 ** 40]),
      /more than 2\^53 elements/,
    ],
    [
      "a hundred axes",
      identity([2, 1], ...Array.from({ length: 100 }, (): Field => [1, 1])),
      /more than 64 axes/,
    ],
    ["too much content", identity([2, 1], [1, 1], [9, new Uint8Array(5)]), /needs 4 bytes of content, got 5/],
    ["an unknown element type", identity([2, 99], [1, 1]), /element type 99 is not known/],
    ["no element type", identity([1, 1]), /tensor "c" has no element type/],
    ["a tensor in segments", identity([2, 1], [3, []]), /segments are not supported/],
    [
      "an initializer that is declared with another shape",
      model(
        [11, [[1, "c"], tensorType(1, 8, 8)]],
        initializer("c", [2, 1], [1, 4], [9, new Uint8Array(16)]),
        node("Relu", ["c"], ["y"]),
        output("y"),
      ),
      /"c" is declared as float32\[8, 8\], but its content is float32\[4\]/,
    ],
    [
      "an initializer that is declared with another type",
      model(
        initializer("c", [2, 1], [1, 4], [9, new Uint8Array(16)]),
        node("Relu", ["c"], ["y"]),
        output("y"),
        [13, [[1, "c"], tensorType(7, 4)]],
      ),
      /"c" is declared as int64\[4\], but its content is float32\[4\]/,
    ],
    [
      "a sparse initializer of negative size",
      model(sparse(2, -3)),
      /every size must be an integer ≥ 0, got -3/,
    ],
    ["a sparse initializer without end", model(sparse(2 ** 40, 2 ** 40)), /more than 2\^53 elements/],
    ["missing texts", identity([2, 8], [1, 2], [6, "a"]), /needs 2 texts, got 1/],
  ])("%s", (_, bytes, expected) => {
    expect(refusal(bytes)).toMatch(expected);
  });

  test("subgraphs nested without end", () => {
    let graph: Field[] = [output("x")];
    for (let i = 0; i < 40; i++)
      graph = [
        node(
          "If",
          [],
          ["y"],
          [
            5,
            [
              [1, "b"],
              [20, 5],
              [6, graph],
            ],
          ],
        ),
        output("y"),
      ];
    expect(refusal(model(...graph))).toMatch(/nested deeper than 100/);
  });

  test("a long chain of nodes is no deep recursion", () => {
    const chain = Array.from({ length: 50_000 }, (_, i) => node("Relu", [i ? `v${i - 1}` : "x"], [`v${i}`]));
    expect(refusal(model(x, ...chain.reverse(), output("v49999")))).toBe("accepted");
  });

  test("more items than the limit", () => {
    const bytes = model(...Array.from({ length: 100 }, (_, i) => node("A", [], [`v${i}`])));
    expect(refusal(bytes, { maxItems: 100 })).toMatch(/more than 100 nodes, values, attributes and texts/);
    expect(refusal(bytes, { maxItems: 1000 })).toBe("accepted");
  });

  test("a file of very many inputs and nodes is read in a time that grows with its length", () => {
    const count = 60_000;
    const inputs = Array.from({ length: count }, (_, i): Field => [11, [[1, `x${i}`]]]);
    const nodes = Array.from({ length: count }, (_, i) => node("Relu", ["x0"], [`y${i}`]));
    const bytes = model(...inputs, ...nodes);
    const before = process.cpuUsage();
    expect(readModel(bytes).nodes()).toHaveLength(count);
    // About a second of this process, however busy the machine; a search through the inputs for each of them takes ten and more.
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(5);
  }, 60_000);

  test("every truncation of a valid file", () => {
    const bytes = writeModel(smallModel());
    // Cut between two fields of the model the rest may be whole: then it reads.
    const results = new Set(
      Array.from(bytes, (_, length) => refusal(bytes.subarray(0, length)).replace(/.* \(byte.*/, "placed")),
    );
    expect([...results].filter((result) => !/^placed$|^accepted$|no graph/.test(result))).toEqual([]);
    expect(refusal(bytes.subarray(0, bytes.length >> 1))).toMatch(/cut off/);
  });
});
