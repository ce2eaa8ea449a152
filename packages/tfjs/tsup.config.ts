import { readFileSync } from "node:fs";
import { defineConfig } from "tsup";
import { library } from "../../tsup.config.base.ts";

const manifest = readFileSync(new URL("package.json", import.meta.url), "utf8");
const { version } = JSON.parse(manifest) as { version: string };

export default defineConfig(
  library(
    { index: "src/index.ts", wasm: "src/wasm.ts", data: "src/data.ts", node: "src/node.ts" },
    { define: { DGATE_TFJS_VERSION: JSON.stringify(version) } },
  ),
);
