import { test } from "vitest";
import { families } from "../models/families.ts";
test("x", () => { const f = families.find(({ name }) => name === "UNet")!;
for (const v of f.variants.filter((v) => /any image/.test(v))) { const g = f.build(f.width, v); for (const n of g.nodes("Resize")) { console.log(v, String(n.inputs.map((i) => i && i.name)), [...n.attributes]); }
console.log(String(g).split("\n").filter((l) => /input|Resize|Shape|Concat|Slice/.test(l)).join("\n").slice(0, 4000)); } });
