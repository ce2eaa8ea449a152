import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrainDocument } from "@dgate/cli";
import { readModel } from "@dgate/onnx";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dgate, tinyTraining } from "./dgate.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-e2e-"));
});

afterEach(() => rm(folder, { recursive: true }));

describe("dgate train", () => {
  test("trains, prunes, proves and writes; stdout is one JSON document", async () => {
    const out = join(folder, "run");
    const { code, stdout, stderr } = await dgate([...tinyTraining, "--json", "-o", out]);
    expect(stderr).toContain("D = 3, epoch 8 of 8");
    expect(code).toBe(0);
    const document = JSON.parse(stdout) as TrainDocument;
    expect(stderr).not.toContain("\r");
    const { accuracy, groups, maxAbsDiff, before, parameters, files } = document;
    for (const value of [accuracy.dense, accuracy.gated, accuracy.pruned]) {
      expect(value).toBeGreaterThan(0.15);
      expect(value).toBeLessThanOrEqual(1);
    }
    expect(groups.total).toBe(40);
    expect(groups.active).toBeLessThan(40);
    expect(parameters).toBeLessThan(before.parameters);
    expect(before.parameters).toBe(784 * 24 + 24 + 24 * 16 + 16 + 16 * 10 + 10);
    expect(before.macs).toBe(784 * 24 + 24 * 16 + 16 * 10);
    expect(maxAbsDiff).toBeLessThan(1e-4);
    expect(files).toEqual(["model.onnx", "report.json", "report.html"].map((name) => join(out, name)));
    expect(JSON.parse(await readFile(join(out, "report.json"), "utf8"))).toEqual(document);
    expect((await readdir(out)).sort()).toEqual(["model.onnx", "report.html", "report.json"]);
    const weights = readModel(await readFile(join(out, "model.onnx"))).initializers.filter(
      ({ type }) => type?.dtype === "float32",
    );
    const count = weights.reduce((sum, { data }) => sum + data!.shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(parameters);
  });

  test("the same seed gives the same model", async () => {
    const args = [...tinyTraining, "--no-dense", "--epochs", "2"];
    for (const name of ["a", "b"]) expect((await dgate([...args, "-o", join(folder, name)])).code).toBe(0);
    const [a, b] = await Promise.all(["a", "b"].map((name) => readFile(join(folder, name, "model.onnx"))));
    expect(a!.equals(b!)).toBe(true);
  });

  test("a table names the features it kept, and the model takes raw rows", async () => {
    // The class is decided by columns b and d; the others are noise.
    const rows = Array.from({ length: 300 }, (_, i) => {
      const [b, d] = [Math.sin(7 * i) * 40 + 100, Math.cos(3 * i)];
      return [
        Math.sin(i),
        b,
        Math.cos(11 * i) * 9,
        d,
        Math.sin(5 * i + 1),
        b / 40 - 2.5 + d > 0 ? "yes" : "no",
      ].join(";");
    });
    const csv = join(folder, "table.csv");
    await writeFile(csv, `a;b;c;d;e;label\n${rows.join("\n")}\n`);
    const { code, stdout, stderr } = await dgate([
      "train",
      "--data",
      csv,
      "--target",
      "label",
      "--backend",
      "cpu",
      "--json",
    ]);
    expect(stderr.split("\n").filter((line) => line.startsWith("dgate:"))).toEqual([]);
    expect(code).toBe(0);
    const { inputs, accuracy } = JSON.parse(stdout) as TrainDocument;
    expect(inputs?.names).toEqual(expect.arrayContaining(["b", "d"]));
    expect(inputs?.kept.length).toBeLessThan(5);
    expect(accuracy.pruned).toBeGreaterThan(0.9);
  });

  test("the direct penalty and the dense network train alone", async () => {
    const direct = await dgate([...tinyTraining, "--method", "direct", "--no-dense", "--json"]);
    const run = JSON.parse(direct.stdout) as TrainDocument;
    expect(run.accuracy.dense).toBeNull();
    expect(run.accuracy.pruned).toBeGreaterThan(0.15);
    const dense = JSON.parse(
      (await dgate([...tinyTraining, "--method", "dense", "--json"])).stdout,
    ) as TrainDocument;
    expect(dense.accuracy).toMatchObject({ gated: null, pruned: null });
    expect(dense.parameters).toBe(run.before.parameters);
  });
});

describe("bad input of dgate train", () => {
  const badInputs: [string, string[], RegExp][] = [
    ["D below 2", ["--depth", "1"], /--depth.*whole number from 2/],
    ["D that is no whole number", ["--depth", "2.5"], /--depth.*whole number/],
    ["a negative λ", ["--lambda", "-1"], /--lambda.*of at least 0/],
    ["λ = NaN", ["--lambda", "NaN"], /--lambda.*finite/],
    ["an unknown network", ["--arch", "resnet-1000"], /--arch resnet-1000: expected lenet-300-100/],
    ["a site that the network lacks", ["--sites", "filters"], /--sites filters: .* has neurons, inputs/],
    ["an unknown option", ["--dept", "3"], /unknown option '--dept'.*--depth/],
    ["an unknown data set", ["--data", "imagenet"], /--data imagenet: expected digits, mnist/],
    ["resume without a checkpoint", ["--resume"], /--resume: give --checkpoint/],
    ["a backend that is not installed", ["--backend", "node-gpu"], /npm install @tensorflow\/tfjs-node-gpu/],
  ];

  test.each(badInputs)("%s: exit code 2 and one line", async (_, args, message) => {
    const { code, stdout, stderr } = await dgate(["train", ...tinyTraining.slice(1), ...args, "--json"]);
    expect(stdout).toBe("");
    expect(code).toBe(2);
    const lines = stderr
      .trimEnd()
      .split("\n")
      .filter((line) => line.startsWith("dgate:"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("an unwritable output folder is refused before training", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    const { code, stderr } = await dgate([...tinyTraining, "-o", join(file, "run")]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/file\/run: cannot be written \(.*\); choose another folder with -o/);
    expect(stderr).not.toContain("epoch");
  });

  test("an existing file is kept without --force", async () => {
    await writeFile(join(folder, "model.onnx"), "mine");
    const { code, stderr } = await dgate([...tinyTraining, "-o", folder]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/model\.onnx: exists already; give --force/);
    expect(await readFile(join(folder, "model.onnx"), "utf8")).toBe("mine");
  });

  test("a truncated idx file, NaN in a table and a truncated table name file and place", async () => {
    const idx = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3]);
    const { mkdir } = await import("node:fs/promises");
    await mkdir(join(folder, "mnist"));
    for (const name of ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]) {
      await writeFile(join(folder, "mnist", `${name}-ubyte`), idx);
    }
    const mnist = await dgate(["train", "--data", "mnist", "--backend", "cpu"], {
      env: { DGATE_DATA: folder },
    });
    expect(mnist).toMatchObject({ code: 2, stdout: "" });
    expect(mnist.stderr).toMatch(/train-images-idx3-ubyte\.gz: truncated.*takes 7072 bytes, found 19/);

    const csv = join(folder, "t.csv");
    const rows = Array.from({ length: 20 }, (_, i) => `${i},${i === 12 ? "NaN" : i},${i % 2}`);
    await writeFile(csv, `a,b,y\n${rows.join("\n")}\n`);
    const nan = await dgate(["train", "--data", csv, "--target", "y", "--backend", "cpu"]);
    expect(nan.code).toBe(2);
    expect(nan.stderr).toMatch(/t\.csv: row 13, column "b": "NaN" is not a finite number/);
    await writeFile(csv, `a,b,y\n${rows.join("\n").slice(0, -2)}`);
    const cut = await dgate(["train", "--data", csv, "--target", "y", "--backend", "cpu"]);
    expect(cut.code).toBe(2);
    expect(cut.stderr).toMatch(/t\.csv: .*line 21.*truncated/);
  });

  test("all groups dead: the strongest of each site stays, with a warning", async () => {
    const strong = ["--lambda", "0.5", "--momentum", "0", "--lr", "0.5", "--batch", "50"];
    const { code, stdout } = await dgate([...tinyTraining, "--no-dense", ...strong, "--json"]);
    expect(code).toBe(0);
    const { groups, warnings } = JSON.parse(stdout) as TrainDocument;
    expect(groups.active).toBeLessThanOrEqual(4);
    expect(warnings.join()).toMatch(/all \d+ groups are under the threshold.*the strongest was kept/);
  });
});

describe("Ctrl-C", () => {
  const long = [...tinyTraining, "--no-dense", "--epochs", "6"];
  // Not every epoch has a line: on a fast machine some are passed over.
  const stop = { when: /epoch \d+ of/, signal: "SIGINT" } as const;

  test("leaves no file and exits with 130", async () => {
    const out = join(folder, "run");
    // So many epochs that the signal comes before the end, however busy the machine is.
    const endless = [...tinyTraining, "--no-dense", "--epochs", "600"];
    const { code, stdout, stderr } = await dgate([...endless, "--json", "-o", out], { kill: stop });
    expect(code).toBe(130);
    expect(stdout).toBe("");
    expect(stderr).toContain("dgate: stopped");
    await expect(readdir(out)).rejects.toThrow("ENOENT");
  });

  test("leaves a whole checkpoint, from which training goes on to the same model", async () => {
    const directory = join(folder, "checkpoint");
    const args = [...long, "--checkpoint", directory, "-o", join(folder, "resumed")];
    const stopped = await dgate(args, { kill: stop });
    expect(stopped.code).toBe(130);
    expect((await readdir(directory)).sort()).toEqual(["checkpoint.safetensors", "training.json"]);
    expect((await stat(join(directory, "checkpoint.safetensors"))).size).toBeGreaterThan(50_000);

    const other = await dgate([...args, "--resume", "--lambda", "1e-3"]);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(
      /training\.json: the checkpoint was made with lambda = 0\.04, asked for is 0\.001/,
    );

    const resumed = await dgate([...args, "--resume", "--json"]);
    expect(resumed.code).toBe(0);
    const document = JSON.parse(resumed.stdout) as TrainDocument;
    expect(document.history.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect((await dgate([...long, "-o", join(folder, "whole")])).code).toBe(0);
    const models = ["resumed", "whole"].map((name) => readFile(join(folder, name, "model.onnx")));
    const [a, b] = await Promise.all(models);
    expect(a!.equals(b!)).toBe(true);
  });
});
