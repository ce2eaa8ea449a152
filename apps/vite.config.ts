import { resolve } from "node:path";
import { defaultClientConditions, defineConfig } from "vite";

/** What `SharedArrayBuffer`, and so threads of WebAssembly, ask of a server. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const pages = ["", "playground/", "train/", "heads/", "deploy/"];

/** Five pages from the sources of the packages; every address in them is relative, so that the site works from any folder. */
export default defineConfig({
  base: "./",
  resolve: { conditions: ["@dgate/source", "onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  server: { headers: isolation },
  preview: { headers: isolation },
  worker: { format: "es" },
  build: {
    target: "es2023",
    rolldownOptions: { input: pages.map((page) => resolve(import.meta.dirname, page, "index.html")) },
    chunkSizeWarningLimit: 4000,
  },
});
