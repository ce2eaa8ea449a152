import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { gradients } from "../autodiff/gradients.ts";
import type { Graph } from "../graph/graph.ts";
import { writeModel } from "../io/write.ts";
import { crossEntropy } from "./loss.ts";
import { missedTarget } from "./steering.ts";
import { openTrainer } from "./trainer.ts";

function classifier(): Graph {
  const net = new GraphBuilder(1);
  const hidden = net.op("Relu", [net.gemm("fc1", net.input("x", ["batch", 4]), [4, 8])]);
  return net.output(net.gemm("fc2", hidden, [8, 3]));
}

const loss = crossEntropy();

/** What a slip in plain JavaScript is told: each names what was wrong and the way out. */
const slips: readonly (readonly [call: string, open: () => Promise<unknown>, message: string])[] = [
  [
    "bytes for a graph",
    () => openTrainer(writeModel(classifier()) as never, { loss }),
    "readModel makes one",
  ],
  ["no options", () => openTrainer(classifier(), undefined as never), "second argument of openTrainer"],
  [
    "a loss by name",
    () => openTrainer(classifier(), { loss: "crossEntropy" as never }),
    "such as crossEntropy()",
  ],
  [
    "a loss not called",
    () => openTrainer(classifier(), { loss: crossEntropy as never }),
    "such as crossEntropy()",
  ],
  [
    "an optimiser by name",
    () => openTrainer(classifier(), { loss, optimizer: "adam" as never }),
    "such as adam()",
  ],
  [
    "names for sites",
    () => openTrainer(classifier(), { loss, sites: ["neurons"] as never }),
    "choose of it by gate",
  ],
  [
    "a name for names",
    () => openTrainer(classifier(), { loss, gate: "neurons" as never }),
    'such as ["heads"]',
  ],
  [
    "a misspelt option",
    () => openTrainer(classifier(), { loss, learningrate: 1 } as never),
    'no option "learningrate"',
  ],
];

test.each(slips)("%s is refused with the way out", async (_, open, message) => {
  await expect(open()).rejects.toMatchObject({
    code: "OPTION",
    message: expect.stringContaining(message) as unknown,
  });
});

/** What a call that fails says. */
const refusal = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => "no error",
    (error: unknown) => String(error),
  );

test("a trainer that is disposed gives nothing any more, and fit takes known options and collections only", async () => {
  const trainer = await openTrainer(classifier(), { loss });
  expect(await refusal(trainer.fit([], { epochs: 3 } as never))).toContain('no option "epochs"');
  expect(await refusal(trainer.fit([], { checkpoint: { save: () => undefined } as never }))).toContain(
    "checkpoint.every",
  );
  expect(await refusal(trainer.fit({ x: { data: [1, 2, 3, 4] } } as never))).toContain(
    "batches must be an array",
  );
  await trainer.dispose();
  for (const call of [
    () => trainer.save(),
    () => trainer.gated(),
    () => trainer.prune(),
    () => trainer.fit([]),
  ]) {
    expect(await refusal(call())).toContain("disposed");
  }
});

test("gradients says what it takes", () => {
  expect(() => gradients(writeModel(classifier()) as never, { loss: "y", wrt: [] })).toThrow(/takes a Graph/);
  expect(() => gradients(classifier(), { loss: "y" } as never)).toThrow(/takes a Graph/);
});

test("a target that was not reached is told, with λ and the remedy", () => {
  const sets = [{ name: "fc1.neurons", norms: Float64Array.of(1, 1, 1, 0) }];
  expect(missedTarget({ target: 0.5 }, sets, 0.002)).toMatch(
    /75 % .* target is 50 %; train longer.* than 0\.0020/,
  );
  expect(missedTarget({ target: 0.75 }, sets, 0.002)).toBeUndefined();
  expect(missedTarget(1e-3, sets, undefined)).toBeUndefined();
});
