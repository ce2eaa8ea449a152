// The page of latency-table.bench.mjs: times the files of a network in the browser.
import { load } from "@dgate/onnx/web";
import { timeFiles } from "./latency-runs.mjs";

globalThis.timeInPage = ({ network, provider, threads, ...limits }) =>
  timeFiles(network, {
    ...limits,
    bytesOf: async (file) => new Uint8Array(await (await fetch(`/models/${file}`)).arrayBuffer()),
    open: async (bytes) => {
      const model = await load(bytes, { providers: [provider], threads, warmUp: false, wasmPaths: "/ort/" });
      if (model.threads !== threads || model.provider !== provider)
        throw new Error(`${model.provider} with ${model.threads} threads: ${model.notes.join("; ")}`);
      return model;
    },
  });
