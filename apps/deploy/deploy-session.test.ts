import { readModel, writeModel } from "@dgate/onnx";
import { beforeAll, describe, expect, test } from "vitest";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { watchedOrt } from "../test/watched-ort.ts";
import { smallModel } from "../heads/small-model.ts";
import type { PruneRequest } from "./deployment.ts";
import { DeploySession } from "./deploy-session.ts";
import { exampleModel } from "./example-model.ts";

const request: PruneRequest = { budget: "macs", fraction: 0.5, criterion: "l2", kinds: ["filters"] };
const threads = 2;
const onwards = { signal: new AbortController().signal, onProgress: () => {} };

describe("the models of a page", () => {
  let example: DroppedFile;

  beforeAll(() => {
    example = { path: "example.onnx", content: new Blob([exampleModel()]) };
  });

  test("the threads that are told are those that the runtime was started with", async () => {
    const session = new DeploySession({ threads });
    const watched = await watchedOrt();
    await session.open([example]);
    const { file } = await session.prune(request, watched.ort);
    const measurement = await session.measure("wasm", file, watched.ort, onwards);
    expect(watched.threads[0]).toBe(threads);
    expect(measurement.threads).toBe(watched.threads[0]);
    expect(measurement.notes).toEqual([]);
    expect(watched.open()).toBe(0);
  });

  test("a measurement is ended between two runs; models and what was pruned stay", async () => {
    const session = new DeploySession({ threads });
    const watched = await watchedOrt();
    await session.open([example]);
    const { file } = await session.prune(request, watched.ort);
    const controller = new AbortController();
    const measuring = session.measure("wasm", file, watched.ort, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(measuring).rejects.toMatchObject({ code: "ABORTED" });
    expect(watched.open()).toBe(0);
    expect((await session.measure("wasm", file, watched.ort, onwards)).maxAbsDiff).toBeGreaterThan(0);
  });

  test("a file that does not open leaves what is open", async () => {
    const session = new DeploySession({ threads });
    const { ort } = await watchedOrt();
    await session.open([example]);
    const notes = { path: "notes.txt", content: new Blob(["hello"]) };
    await expect(session.open([notes])).rejects.toMatchObject({ code: "FORMAT" });
    expect((await session.prune(request, ort)).facts.name).toBe("example-pruned.onnx");
  });

  test("sizes for which multiply–adds are counted are told", async () => {
    const graph = readModel(exampleModel());
    graph.value("image")!.type = { dtype: "float32", shape: ["sequence", 3, 32, 32] };
    const session = new DeploySession({ threads });
    const [facts] = await session.open([{ path: "a.onnx", content: new Blob([writeModel(graph)]) }, example]);
    expect(facts!.assumed).toContainEqual(["sequence", 32]);
  });

  test("the model that the heads page trains is pruned and measured", async () => {
    const session = new DeploySession({ threads });
    const { ort } = await watchedOrt();
    await session.open([{ path: "model.onnx", content: new Blob([writeModel(smallModel(1))]) }]);
    const { facts, file } = await session.prune({ ...request, kinds: ["heads", "neurons"] }, ort);
    expect(facts.assumed).toContainEqual(["sequence_length", 32]);
    expect((await session.measure("wasm", file, ort, onwards)).maxAbsDiff).toBeGreaterThan(0);
  });

  test("two models of one name are told apart by their folders", async () => {
    const session = new DeploySession({ threads });
    const found = await session.open(["a", "b"].map((folder) => ({ ...example, path: `${folder}/m.onnx` })));
    expect(found.map(({ name }) => name)).toEqual(["a/m.onnx", "b/m.onnx"]);
  });
});
