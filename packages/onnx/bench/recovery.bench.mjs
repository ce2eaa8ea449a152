// Recovery without labels on trained networks that nobody here wrote: half of every site goes by L2 norm, then the layers
// that read it are fitted on a few inputs. Accuracy on whole test sets, squared error of the outputs on held-out inputs.
// `pnpm bench recovery`; data from DGATE_DATA, else ../shared/data beside the repository.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { formatTable } from "@dgate/core";
import {
  findSites,
  numbersOf,
  openRunner,
  planFrom,
  prune,
  readModel,
  recover,
  writeModel,
} from "@dgate/onnx";

const data = process.env.DGATE_DATA ?? join(import.meta.dirname, "../../../../shared/data");
/** Numbers of calibration inputs, and of held-out ones that decide whether a layer's fit is taken. */
const images = [50, 200, 1000];
const sentences = [200];
const heldOut = 100;
const testImages = 2000;
/** FFN neurons of BERT: fractions that go. */
const sparsities = [0.5, 0.9, 0.97];

if (!existsSync(data)) {
  console.log(`skipped: ${data} is not there; set DGATE_DATA`);
  process.exit(0);
}

const argmax = (numbers) => numbers.indexOf(Math.max(...numbers));
const percent = (value, digits = 2) => `${(100 * value).toFixed(digits)} %`;

/** Fraction of labelled feeds whose largest score is that of the label. */
async function accuracy(graph, samples, output) {
  const runner = await openRunner(writeModel(graph));
  let right = 0;
  for (const { feeds, label } of samples) {
    const results = await runner.run(feeds);
    if (argmax(numbersOf(results[output])) === label) right += 1;
  }
  await runner.dispose();
  return right / samples.length;
}

/** One row of the table per number of calibration inputs. */
async function measure(name, { dense, whole, sizes, train, test }, planOptions) {
  const output = dense.outputs[0].name;
  const pruned = prune(dense, planFrom(findSites(dense), planOptions));
  const before = [whole, await accuracy(pruned.graph, test, output)];
  const validation = train.slice(-heldOut);
  const rows = [];
  for (const size of sizes) {
    const start = performance.now();
    const { graph, report } = await recover(dense, pruned, train.slice(0, size), { validation });
    const seconds = (performance.now() - start) / 1000;
    const { outputErrorBefore, outputErrorAfter } = report.validation;
    const after = await accuracy(graph, test, output);
    rows.push([
      name,
      size,
      ...[...before, after].map((value) => percent(value)),
      `${percent(outputErrorBefore)} → ${percent(outputErrorAfter, 3)}`,
      `${report.layers.filter(({ taken }) => taken).length} of ${report.layers.length + report.skipped.length}`,
      seconds.toFixed(1),
    ]);
  }
  return rows;
}

const idx = (name) => gunzipSync(readFileSync(join(data, "mnist", name)));

function imageFeeds(pixels, i, input) {
  const image = pixels.subarray(16 + 784 * i, 16 + 784 * (i + 1));
  return { [input]: { data: Float32Array.from(image, (value) => value / 255), shape: [1, 1, 28, 28] } };
}

function mnist(input) {
  const [train, test] = [idx("train-images-idx3-ubyte.gz"), idx("t10k-images-idx3-ubyte.gz")];
  const labels = idx("t10k-labels-idx1-ubyte.gz");
  return {
    sizes: images,
    train: Array.from({ length: Math.max(...images) + heldOut }, (_, i) => imageFeeds(train, i, input)),
    test: Array.from({ length: testImages }, (_, i) => ({
      feeds: imageFeeds(test, i, input),
      label: labels[8 + i],
    })),
  };
}

/** BERT's lower-case WordPiece, for the plain English of SST-2: words and punctuation, longest pieces first. */
function tokenizer(path, longest) {
  const vocabulary = new Map(Object.entries(JSON.parse(readFileSync(path, "utf8")).model.vocab));
  const [start, end, unknown] = ["[CLS]", "[SEP]", "[UNK]"].map((token) => vocabulary.get(token));
  const pieces = (word) => {
    const ids = [];
    for (let from = 0; from < word.length; ) {
      let to = word.length;
      const idOf = () => vocabulary.get(`${from > 0 ? "##" : ""}${word.slice(from, to)}`);
      while (to > from && idOf() === undefined) to -= 1;
      if (to === from) return [unknown];
      ids.push(idOf());
      from = to;
    }
    return ids;
  };
  return (text) => {
    const plain = text
      .toLowerCase()
      .normalize("NFD")
      .replace(/\p{Mn}/gu, "");
    const words = plain.match(/[\p{P}\p{S}]|[^\s\p{P}\p{S}]+/gu) ?? [];
    return [start, ...words.flatMap(pieces).slice(0, longest - 2), end];
  };
}

/** Rows of a tab-separated file of sentences and labels. */
const sentencesOf = (name) =>
  readFileSync(join(data, "sst2", name), "utf8")
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"));

function sst2(folder) {
  const encode = tokenizer(join(folder, "tokenizer.json"), 64);
  const feedsOf = (text) => {
    const ids = encode(text);
    const shape = [1, ids.length];
    const all = (value) => ({ data: ids.map(() => value), shape });
    return { input_ids: { data: ids, shape }, attention_mask: all(1), token_type_ids: all(0) };
  };
  // Phrases of one sentence follow each other in the file, so every 53rd is taken.
  const train = sentencesOf("train.tsv").filter((_, i) => i % 53 === 0);
  return {
    sizes: sentences,
    train: train.slice(0, Math.max(...sentences) + heldOut).map(([text]) => feedsOf(text)),
    test: sentencesOf("glue-dev.tsv").map(([text, label]) => ({
      feeds: feedsOf(text),
      label: Number(label),
    })),
  };
}

/** A model with its samples and its own accuracy. */
async function task(path, samplesOf) {
  const dense = readModel(readFileSync(join(data, path)));
  const samples = samplesOf(dense);
  return { dense, ...samples, whole: await accuracy(dense, samples.test, dense.outputs[0].name) };
}

const rows = [];
for (const file of ["cnn_mnist_pytorch.onnx", "mnist.onnx"]) {
  const digits = await task(`onnx-structures/${file}`, (dense) => mnist(dense.requiredInputs[0].name));
  rows.push(...(await measure(`${file}, 50 %`, digits, { sparsity: 0.5 })));
}
const bert = await task("models/bert-mini-sst2/onnx/model.onnx", () =>
  sst2(join(data, "models/bert-mini-sst2")),
);
const sites = findSites(bert.dense).filter(({ prunable }) => prunable === true);
const namesOf = (wanted) => sites.filter(wanted).map(({ name }) => name);
const ffn = namesOf(({ name }) => name.includes("/intermediate/"));
for (const sparsity of sparsities) {
  const name = `bert-mini-sst2, ${100 * sparsity} % of FFN`;
  rows.push(...(await measure(name, bert, { sparsity, sites: ffn })));
}
const heads = namesOf(({ kind }) => kind === "heads");
if (heads.length > 0) {
  rows.push(...(await measure("bert-mini-sst2, 50 % of heads", bert, { sparsity: 0.5, sites: heads })));
}
console.log(
  formatTable(
    [
      "model, removed",
      "inputs",
      "dense",
      "pruned",
      "recovered",
      "error of held-out outputs",
      "layers fitted",
      "s",
    ],
    rows,
  ),
);
