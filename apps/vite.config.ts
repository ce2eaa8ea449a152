import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

/** What `SharedArrayBuffer`, and so threads of WebAssembly, ask of a server. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** `plot.svg?size`: width and height of a picture, which a page keeps free for it. */
const pictureSizes: Plugin = {
  name: "picture-sizes",
  enforce: "pre",
  load(id) {
    const [path, query] = id.split("?");
    if (query !== "size") return undefined;
    const [, width, height] = /<svg width="(\d+)" height="(\d+)"/.exec(readFileSync(path!, "utf8")) ?? [];
    if (!width || !height) throw new Error(`${path}: no width and height in the tag of the picture.`);
    return `export default { width: ${width}, height: ${height} };`;
  },
};

const pages = ["", "playground/", "train/", "heads/", "deploy/"];

/** Five pages from the sources of the packages; every address in them is relative, so that the site works from any folder. */
export default defineConfig({
  base: "./",
  plugins: [pictureSizes],
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
