import * as tf from "@tensorflow/tfjs";
import { afterEach, describe, expect, test } from "vitest";
import { firstLine, unavailable } from "./optional-package.ts";
import { type BackendName, describeBackend, useBackend } from "./use-backend.ts";
import { describeAdapter, isSoftware } from "./webgpu-adapter.ts";

afterEach(async () => {
  await tf.setBackend("cpu");
});

const failure = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    return await work;
  } catch (error) {
    return error;
  }
};

describe("useBackend", () => {
  test("takes the backend that is named", async () => {
    expect(await useBackend("cpu")).toEqual({ backend: "cpu", device: "JavaScript", tried: [] });
    expect(tf.getBackend()).toBe("cpu");
  });

  test("brings the better kernels with wasm", async () => {
    expect(await useBackend("wasm")).toMatchObject({ backend: "wasm", tried: [] });
    expect(tf.getBackend()).toBe("wasm");
    expect(tf.getKernel("Conv2DBackpropFilter", "wasm")).toBeDefined();
  });

  test("auto says in one line each what was against the faster backends", async () => {
    const choice = await useBackend("auto");
    const order = ["node-gpu", "node", "webgpu", "wasm", "cpu"];
    expect(choice.tried.map(({ name }) => name)).toEqual(order.slice(0, order.indexOf(choice.backend)));
    for (const { reason } of choice.tried) {
      expect(reason).not.toContain("\n");
      expect(reason).not.toContain("    at ");
    }
    expect(describeBackend(choice)).toContain(`backend ${choice.backend} (`);
    for (const { name, reason } of choice.tried) {
      expect(describeBackend(choice)).toContain(`not ${name}: ${reason}`);
    }
  });

  test("a name that is none is refused with the list of names", async () => {
    // From a command line any text can come.
    expect(await failure(useBackend("cuda" as BackendName))).toMatchObject({
      code: "OPTION",
      message: 'backend is "cuda", expected auto, node-gpu, node, webgpu, wasm, cpu',
    });
  });

  test("a backend that cannot be had says what to do about it", async () => {
    const { tried } = await useBackend("auto");
    for (const { name, reason } of tried) {
      const error = await failure(useBackend(name));
      // A software WebGPU is taken when it is asked for by name.
      const expected =
        name === "webgpu" && !(error instanceof Error)
          ? { backend: name }
          : { message: `backend ${name}: ${reason}` };
      expect(error).toMatchObject(expected);
    }
  });
});

const refused = (error: unknown): string => {
  try {
    return unavailable("left-pad")(error);
  } catch (thrown) {
    return firstLine(thrown);
  }
};

describe("a failed import", () => {
  test("of a missing package names the line that installs it", () => {
    const error = Object.assign(new Error("Cannot find package 'left-pad' imported from x"), {
      code: "ERR_MODULE_NOT_FOUND",
    });
    expect(refused(error)).toBe("package left-pad is not installed; npm install left-pad");
  });

  test("says the same in the words of a browser and of a development server", () => {
    const line = "package left-pad is not installed; npm install left-pad";
    expect(refused(new TypeError("Failed to resolve module specifier 'left-pad'"))).toBe(line);
    expect(refused(new Error('Could not resolve "left-pad" imported by "@dgate/tfjs".'))).toBe(line);
  });

  test("of a package that needs another missing one is told apart", () => {
    const error = Object.assign(new Error("Cannot find module 'tensorflow.so'\nRequire stack:\n- x"), {
      code: "MODULE_NOT_FOUND",
    });
    expect(refused(error)).toBe(
      "package left-pad does not load (Cannot find module 'tensorflow.so'); npm rebuild left-pad, or install it anew",
    );
  });
});

describe("adapters", () => {
  test("that compute on the CPU are told from GPUs", () => {
    expect(isSoftware({ description: "SwiftShader driver 5.0.0" })).toBe(true);
    expect(isSoftware({ description: "llvmpipe (LLVM 15.0.6, 256 bits)" })).toBe(true);
    expect(isSoftware({ vendor: "nvidia", isFallbackAdapter: true })).toBe(true);
    expect(isSoftware({ vendor: "nvidia", architecture: "hopper", isFallbackAdapter: false })).toBe(false);
    expect(isSoftware({})).toBe(false);
  });

  test("are named by the most telling text they give", () => {
    expect(describeAdapter({ vendor: "apple", architecture: "metal-3", device: "", description: "" })).toBe(
      "apple",
    );
    expect(describeAdapter({ vendor: "nvidia", description: "NVIDIA H200" })).toBe("NVIDIA H200");
    const [device, description] = ["nvidia-h100-80gb-hbm3", "NVIDIA: 580.159.04"];
    expect(describeAdapter({ vendor: "nvidia", device, description })).toBe(`${device} (${description})`);
    expect(describeAdapter({})).toBe("unnamed adapter");
  });
});
