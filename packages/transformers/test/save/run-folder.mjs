// Opens a model folder with one version of transformers.js and prints what it gives, in a process of its own: two versions of onnxruntime-node cannot be loaded
// into one.
//   node run-folder.mjs MODULE FOLDER TASK DTYPE TEXTS
import { basename, dirname } from "node:path";

const [name, folder, task, dtype, list] = process.argv.slice(2);
const { env, pipeline } = await import(name);
const old = env.version.startsWith("2.");
env.allowRemoteModels = false;
// Version 2 takes folders below its local model path only.
if (old) env.localModelPath = `${dirname(folder)}/`;
const run = await pipeline(
  task,
  old ? basename(folder) : folder,
  old ? { quantized: dtype === "q8" } : { dtype },
);
const texts = JSON.parse(list);
if (task === "text-classification") {
  const { logits } = await run.model(await run.tokenizer(texts, { padding: true, truncation: true }));
  console.log(
    JSON.stringify({ logits: Array.from(logits.data), labels: (await run(texts)).map(({ label }) => label) }),
  );
} else {
  const generated = [];
  for (const text of texts)
    generated.push((await run(text, { max_new_tokens: 24, do_sample: false }))[0].generated_text);
  console.log(JSON.stringify({ generated }));
}
