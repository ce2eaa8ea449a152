import { useId } from "preact/hooks";
import choosing from "../../docs/choosing.md?raw";
import readme from "../../README.md?raw";
import { Scroll } from "../ui/controls.tsx";
import { showPage } from "../ui/shell.tsx";
import { type MarkdownTable, resultTables } from "./markdown-tables.ts";

const demos = [
  {
    folder: "playground",
    title: "Why it works",
    text: "One group of weights in the plane, its gates and its balance; and a regression of which it is known what matters. Drag λ and see a group die.",
    uses: "@dgate/core",
  },
  {
    folder: "train",
    title: "Train",
    text: "LeNet-300-100 or a small CNN, in the page. Pixels, neurons and filters switch themselves off; remove them and draw a digit for both networks.",
    uses: "@dgate/tfjs",
  },
  {
    folder: "heads",
    title: "Heads",
    text: "A transformer of your own, of the hub, or one that the page trains: click attention heads off, learn which matter, remove the others.",
    uses: "@dgate/transformers",
  },
  {
    folder: "deploy",
    title: "Deploy",
    text: "Drop an ONNX model, choose a budget, get a smaller file, and run both side by side on WASM and WebGPU.",
    uses: "@dgate/onnx",
  },
] as const;

/** Plots of the experiments that explain themselves: the name of the file, and what it shows. */
const gallery = [
  ["two-phases-2", "The gap between smooth and sparse penalty closes: weights and gates come into balance."],
  ["two-phases-1", "Groups stay for a while, then die one after the other."],
  ["imbalance-decay-1", "The imbalance of ω and its gates decays as exp(−4λt/D), whatever the loss."],
  ["group-lasso-path-1", "With D = 2 gradient descent follows the path of the group lasso."],
  ["lenet-300-100-neurons-5", "LeNet-300-100 on MNIST: which accuracy at which size, all methods."],
  ["lenet-300-100-pixels-5", "The same with input pixels as groups."],
] as const;

const results = "../../docs/results/";

// The same names: a pattern cannot be computed, and all that it fits is shipped.
const addresses = import.meta.glob<string>(
  "../../docs/results/{two-phases-[12],imbalance-decay-1,group-lasso-path-1,lenet-300-100-{neurons,pixels}-5}.svg",
  { query: "?url", import: "default", eager: true },
);
const sizes = import.meta.glob<{ readonly width: number; readonly height: number }>(
  "../../docs/results/{two-phases-[12],imbalance-decay-1,group-lasso-path-1,lenet-300-100-{neurons,pixels}-5}.svg",
  { query: "?size", import: "default", eager: true },
);

const tables: ReadonlyMap<string, MarkdownTable> = new Map([
  ...resultTables(readme),
  ...resultTables(choosing),
]);

/** Tables of the README and of docs/choosing.md that say most, by the name that is between their markers. */
const measured = [
  ["LeNet-300-100 on MNIST, neurons as groups", "lenet-300-100-neurons 1"],
  ["Six of 40 features matter, and it is known which", "known-features 3"],
  ["LeNet-5 on CIFAR-10, filters and neurons as groups", "lenet-5-cifar10 2"],
] as const;

const install = `npm install @dgate/tfjs           # train
npm install @dgate/transformers   # gate heads
npm install @dgate/onnx           # prune and deploy`;

function Landing() {
  return (
    <>
      <div class="demos">
        {demos.map(({ folder, title, text, uses }) => (
          <a key={folder} class="card demo" href={`./${folder}/`}>
            <h2>{title}</h2>
            <span>{text}</span>
            <code>{uses}</code>
          </a>
        ))}
      </div>
      <section class="card" aria-labelledby="install">
        <h2 id="install">In your own project</h2>
        <Scroll label="Commands to install">
          <pre>{install}</pre>
        </Scroll>
        <p>
          No Python anywhere: train in TensorFlow.js or take any ONNX or transformers.js model, learn which
          neurons, filters or heads matter, cut the rest out, and run what is left in onnxruntime-web.
        </p>
      </section>
      <section aria-labelledby="gallery" class="card">
        <h2 id="gallery">Gallery</h2>
        <div class="columns two">
          {gallery.map(([name, text]) => (
            <figure key={name}>
              <a href={addresses[`${results}${name}.svg`]!} title="Opens the plot by itself, in full size">
                <img
                  class="plot"
                  src={addresses[`${results}${name}.svg`]}
                  alt={text}
                  loading="lazy"
                  {...sizes[`${results}${name}.svg`]}
                />
              </a>
              <figcaption>{text}</figcaption>
            </figure>
          ))}
        </div>
      </section>
      <section aria-labelledby="measured" class="card">
        <h2 id="measured">Measured</h2>
        <p>
          By the experiments of the repository, three to five seeds each, the same steps, optimiser and
          batches for every method. Bold is the best of a column, or a lead that counts. Wide tables scroll to
          the side.
        </p>
        {measured.map(([title, name]) => (
          <Measured key={name} title={title} of={tables.get(name)!} />
        ))}
      </section>
    </>
  );
}

interface MeasuredProps {
  readonly title: string;
  readonly of: MarkdownTable;
}

function Measured({ title, of: { caption, header, rows } }: MeasuredProps) {
  const id = useId();
  return (
    <>
      {/* No caption of the table's: on a phone it would scroll away with it. */}
      <p id={id} class="caption">
        <strong>{title}.</strong> {caption.replace(/:$/, ".")}
      </p>
      <Scroll label={title}>
        <table class="measured" aria-labelledby={id}>
          <thead>
            <tr>
              {header.map((cell, i) => (
                <th key={cell} scope="col">
                  {cell || (i === 0 && <span class="visually-hidden">method</span>)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, ...cells]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {cells.map((cell, i) => (
                  <td key={header[i + 1]}>
                    {cell.startsWith("**") ? <strong>{cell.replaceAll("**", "")}</strong> : cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}

showPage(
  "",
  "Networks that shrink themselves, in JavaScript",
  "Structured sparsity that is learned by D-Gating, proven and really removed. Four demos that run entirely in this page.",
  Landing,
);
