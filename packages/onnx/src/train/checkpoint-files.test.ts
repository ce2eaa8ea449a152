import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCheckpoint, writeCheckpoint } from "@dgate/onnx/node";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from "./checkpoint.ts";

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "dgate-checkpoint-"));
  folder = join(root, "run");
});

afterEach(() => rmSync(root, { recursive: true }));

const optimizer = { name: "sgd", config: {} };

/** A checkpoint whose only array holds its step. */
const checkpointOf = (step: number, value = step): Checkpoint =>
  encodeCheckpoint(new Map([["w", new Float32Array(1000).fill(value)]]), new Map([["w", [1000]]]), {
    version: 1,
    step,
    fingerprint: "f",
    optimizer,
    controller: null,
  });

/** Step and array of a checkpoint, if the two are whole and belong together. */
function contentOf(checkpoint: Checkpoint): { readonly step: number; readonly value: number } {
  const { state, arrays } = decodeCheckpoint(
    checkpoint,
    { fingerprint: "f", optimizer, steered: false },
    new Map([["w", 1000]]),
  );
  const values = new Set(arrays.get("w"));
  expect(values.size).toBe(1);
  return { step: state.step, value: [...values][0]! };
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail("it went well"),
    (cause: unknown) => cause as { code: string; message: string },
  );

test("what is written is read again, to the byte, and older arrays go", async () => {
  for (const step of [0, 10, 9]) {
    const checkpoint = checkpointOf(step);
    await writeCheckpoint(folder, checkpoint);
    expect(await readCheckpoint(folder)).toEqual(checkpoint);
    expect(readdirSync(folder).sort()).toEqual([`arrays-${step}.safetensors`, "state.json"]);
  }
  expect(JSON.parse(readFileSync(join(folder, "state.json"), "utf8"))).toMatchObject({
    step: 9,
    arrays: "arrays-9.safetensors",
  });
});

test("the same step again does not touch the arrays that are in use", async () => {
  await writeCheckpoint(folder, checkpointOf(3, 1));
  await writeCheckpoint(folder, checkpointOf(3, 2));
  expect(readdirSync(folder).sort()).toEqual(["arrays-3-2.safetensors", "state.json"]);
  expect(contentOf(await readCheckpoint(folder))).toEqual({ step: 3, value: 2 });
  await writeCheckpoint(folder, checkpointOf(3, 3));
  expect(contentOf(await readCheckpoint(folder))).toEqual({ step: 3, value: 3 });
});

test("other files of the folder stay, and what a killed process left goes", async () => {
  mkdirSync(folder);
  const left = ["arrays-4.safetensors", "arrays-5.safetensors.0-1.part", "state.json.0-2.part"];
  const others = ["model.onnx", "arrays-x.safetensors", "log.part"];
  for (const name of [...left, ...others]) writeFileSync(join(folder, name), "x");
  await writeCheckpoint(folder, checkpointOf(6));
  expect(readdirSync(folder).sort()).toEqual([...others, "arrays-6.safetensors", "state.json"].sort());
});

test("between two files of a new checkpoint the old one is read", async () => {
  await writeCheckpoint(folder, checkpointOf(1));
  writeFileSync(join(folder, "arrays-2.safetensors"), checkpointOf(2).arrays);
  writeFileSync(join(folder, "arrays-3.safetensors.0.part"), "half of it");
  expect(contentOf(await readCheckpoint(folder))).toEqual({ step: 1, value: 1 });
});

describe("a process that is killed at any moment", () => {
  test("leaves a whole checkpoint", { timeout: 60_000 }, async () => {
    const script = join(root, "writer.mjs");
    await build({
      stdin: {
        contents: `
          import { writeCheckpoint } from "./checkpoint-files.ts";
          import { encodeCheckpoint } from "./checkpoint.ts";
          const state = { version: 1, fingerprint: "f", optimizer: ${JSON.stringify(optimizer)}, controller: null };
          // The same step comes twice, with other numbers.
          for (let i = 1; ; i++) {
            const arrays = new Map([["w", new Float32Array(1000).fill(i)]]);
            const checkpoint = encodeCheckpoint(arrays, new Map([["w", [1000]]]), { ...state, step: i >> 1 });
            await writeCheckpoint(process.argv[2], checkpoint);
            if (i === 1) console.log("started");
          }`,
        resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      },
      bundle: true,
      platform: "node",
      format: "esm",
      conditions: ["@dgate/source"],
      outfile: script,
    });
    let last = 0;
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
      await started(child);
      await new Promise((resolve) => setTimeout(resolve, 7 * round));
      await killed(child);
      const { step, value } = contentOf(await readCheckpoint(folder));
      expect(step).toBe(value >> 1);
      last = Math.max(last, value);
    }
    expect(last).toBeGreaterThan(1);
  });
});

const started = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => {
    child.stdout!.once("data", resolve);
  });

function killed(child: ChildProcess): Promise<unknown> {
  const gone = new Promise((resolve) => {
    child.once("exit", resolve);
  });
  child.kill("SIGKILL");
  return gone;
}

test("reading while another writes gives a whole checkpoint", async () => {
  await writeCheckpoint(folder, checkpointOf(0));
  const last = 40;
  const writer = (async () => {
    for (let step = 1; step <= last; step++) await writeCheckpoint(folder, checkpointOf(step));
  })();
  for (let seen = 0; seen < last; ) {
    const { step, value } = contentOf(await readCheckpoint(folder));
    expect(value).toBe(step);
    seen = step;
  }
  await writer;
});

describe("errors have a type and name the file:", () => {
  test("no checkpoint there", async () => {
    const { code, message } = await failure(readCheckpoint(folder));
    expect(code).toBe("IO");
    expect(message).toContain(join(folder, "state.json"));
    expect(message).toContain("ENOENT");
  });

  test("the arrays are gone", async () => {
    await writeCheckpoint(folder, checkpointOf(2));
    rmSync(join(folder, "arrays-2.safetensors"));
    const { code, message } = await failure(readCheckpoint(folder));
    expect(code).toBe("IO");
    expect(message).toContain("arrays-2.safetensors");
  });

  test.each([
    ["no JSON", '{"step": 1'],
    ["no object", "[1]"],
    ["no arrays", '{"step": 1}'],
    ["arrays elsewhere", '{"step": 1, "arrays": "../arrays-1.safetensors"}'],
  ])("a state with %s", async (_, text) => {
    await writeCheckpoint(folder, checkpointOf(2));
    writeFileSync(join(folder, "state.json"), text);
    const { code, message } = await failure(readCheckpoint(folder));
    expect(code).toBe("FORMAT");
    expect(message).toContain("state.json");
  });

  test("a state that is no checkpoint's is not written", async () => {
    const { arrays } = checkpointOf(1);
    for (const state of ["", "null", "{}", '{"step": -1}', '{"step": "../../x"}']) {
      expect((await failure(writeCheckpoint(folder, { arrays, state }))).code).toBe("FORMAT");
    }
    expect(() => readdirSync(folder)).toThrow("ENOENT");
  });

  test("a folder that is a file, and a state.json that is a folder: what was there stays", async () => {
    writeFileSync(folder, "x");
    expect((await failure(writeCheckpoint(folder, checkpointOf(1)))).code).toBe("IO");
    rmSync(folder);
    mkdirSync(join(folder, "state.json"), { recursive: true });
    const { code, message } = await failure(writeCheckpoint(folder, checkpointOf(1)));
    expect(code).toBe("IO");
    expect(message).toContain("state.json");
  });
});
