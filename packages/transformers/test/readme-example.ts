import { readFile } from "node:fs/promises";
import { openHeadGates } from "@dgate/transformers";
import { pipeline } from "@huggingface/transformers";

const texts = (await readFile("reviews.txt", "utf8")).split("\n"); // one text a line; no labels are needed
const gates = await openHeadGates("Xenova/distilbert-base-uncased-finetuned-sst-2-english", { depth: 3 });
const { dense, pruned } = await gates.learn(texts, { target: { heads: 0.5 } }); // the dense model is the teacher
console.log(String(gates.heads)); // layers × heads: gates, · for a head that goes
console.log(dense.quality, pruned.quality, pruned.parameters / dense.parameters);

const small = await gates.prune(); // folded, cut, and proven equal to the masked model
const { files } = await small.save("./models/small", { dtypes: ["fp32", "q8"] });
console.log(files.map(({ path }) => path).join(", "));

const classify = await pipeline("text-classification", "./models/small", { dtype: "q8" });
console.log(await classify("a gripping, beautifully acted film"));
