// Warm latency, file size and load time of dense and pruned models, each as onnxruntime fuses it when it loads it and as `fuse` writes it, in float32 and in
// int8: in onnxruntime-node, in onnxruntime-web's WASM in Node and in Chromium, and on WebGPU in Chromium. Half of the heads and of the neurons are pruned,
// by L2 norm: latency is the point here, quality is not (see head-quality). All files of a network run in turns; ratios are medians of those round by round,
// load times the least of three.
// `pnpm bench latency-table`; the model of bert-mini and MiniLM's tokenizer come from DGATE_DATA, the weights of the model of MiniLM's size are random.
// DGATE_SETTINGS="node 1,chromium 2" chooses, DGATE_SECONDS is the time for the rounds of a network in a setting.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { openRunner } from "@dgate/onnx";
import { load } from "@dgate/onnx/web";
import { importTypeScript } from "../../onnx/bench/import-typescript.mjs";
import { dataFolder } from "./data-folder.mjs";
import { writeVariants } from "./latency-files.mjs";
import { timeFiles } from "./latency-runs.mjs";
import { miniLmFolder } from "./minilm-folder.mjs";

/** By key: heading, and where it runs. Threads of a runtime are fixed at its first model, so each is a process or a page of its own. */
const settings = {
  "node 1": { heading: "node, 1 thread", threads: 1 },
  "node 2": { heading: "node, 2", threads: 2 },
  "web 1": { heading: "WASM in Node, 1", threads: 1 },
  "chromium 1": { heading: "WASM in Chromium, 1", threads: 1, provider: "wasm" },
  "chromium 2": { heading: "WASM in Chromium, 2", threads: 2, provider: "wasm" },
  webgpu: { heading: "WebGPU (SwiftShader), 32 tokens", threads: 1, provider: "webgpu" },
};
const seconds = Number(process.env.DGATE_SECONDS ?? 6);
const usual = { seconds, rounds: { least: 5, most: 200 }, openings: 3, warmUps: 2 };
/** WebGPU on the CPU (SwiftShader) takes seconds a run. */
const few = { tokens: 32, seconds, rounds: { least: 2, most: 20 }, openings: 1, warmUps: 1 };

const chosen = process.env.DGATE_SETTINGS?.split(",") ?? Object.keys(settings);

if (process.env.DGATE_SETTING) {
  await timeHere(process.env.DGATE_SETTING, process.env.DGATE_FOLDER);
  process.exit(0);
}
const data = dataFolder();
if (!data) process.exit(0);

const started = performance.now();
const log = (line) => console.error(`[${((performance.now() - started) / 1000).toFixed(0)} s] ${line}`);
const load1 = loadavg()[0];
const folder = mkdtempSync(join(tmpdir(), "dgate-latency-"));
const minilm = await miniLmFolder(data);
let networks;
/** Times by setting, network and file. */
const results = {};
try {
  networks = [];
  for (const network of [
    { name: "bert-mini-sst2", folder: join(data, "models/bert-mini-sst2"), tokens: 32 },
    { name: "MiniLM size", folder: minilm, tokens: 128 },
  ]) {
    networks.push(await writeVariants(network, folder));
    log(`files of ${network.name} written`);
  }
  writeFileSync(join(folder, "networks.json"), JSON.stringify(networks));
  for (const setting of chosen) {
    results[setting] = settings[setting].provider
      ? await timeInChromium(settings[setting])
      : timeInProcess(setting);
    log(`${setting}: ${results[setting].map((files) => files[0].runsMs.length).join(" and ")} rounds`);
  }
} finally {
  for (const each of [folder, minilm]) rmSync(each, { recursive: true, force: true });
}
report();

/** All networks in this process, which is one of its own. */
async function timeHere(setting, from) {
  const { threads } = settings[setting];
  const open = setting.startsWith("node")
    ? (bytes) => openRunner(bytes, { runtime: "node", threads })
    : (bytes) => load(bytes, { providers: ["wasm"], threads, warmUp: false });
  const bytesOf = (file) => new Uint8Array(readFileSync(join(from, file)));
  const timed = [];
  for (const network of JSON.parse(readFileSync(join(from, "networks.json"), "utf8")))
    timed.push(await timeFiles(network, { open, bytesOf, ...usual }));
  writeFileSync(join(from, "times.json"), JSON.stringify(timed));
}

function timeInProcess(setting) {
  const env = { ...process.env, DGATE_SETTING: setting, DGATE_FOLDER: folder };
  const { status } = spawnSync(process.execPath, [import.meta.filename], { env, stdio: "inherit" });
  if (status !== 0) throw new Error(`${setting} ended with ${status}`);
  return JSON.parse(readFileSync(join(folder, "times.json"), "utf8"));
}

/** Each network in a page of its own, so that memory is given back. */
async function timeInChromium({ provider, threads }) {
  const browserTests = join(import.meta.dirname, "../../../test/browser");
  const [{ bundlePage }, { openChromium }, { serve }] = await Promise.all(
    ["bundle-page", "chromium", "static-server"].map((name) =>
      importTypeScript(join(browserTests, `${name}.ts`)),
    ),
  );
  const bundle = await bundlePage(pathToFileURL(join(import.meta.dirname, "latency-page.mjs")));
  const ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));
  const page = '<!doctype html><script type="module" src="/page/latency-page.js"></script>';
  const server = await serve({ "/ort/": ort, "/page/": bundle, "/models/": folder }, { "/index.html": page });
  const browser = await openChromium();
  try {
    const timed = [];
    for (const network of networks) {
      const tab = await browser.context.newPage();
      tab.setDefaultTimeout(300_000);
      await tab.goto(`${server.url}/index.html`);
      await tab.waitForFunction(() => "timeInPage" in globalThis);
      const limits = provider === "webgpu" ? few : usual;
      timed.push(
        await tab.evaluate((task) => globalThis.timeInPage(task), { network, provider, threads, ...limits }),
      );
      await tab.close();
    }
    return timed;
  } finally {
    await browser.close();
    await server.close();
    rmSync(bundle, { recursive: true, force: true });
  }
}

function report() {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  }).trim();
  const where = { commit, node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, load: load1 };
  const tables = networks.map((network, n) => summarise(network, n));
  console.log(
    `${where.cpu}, ${where.cores} cores, Node ${where.node}, load at the start ${load1.toFixed(1)}, commit ${commit}`,
  );
  for (const { name, tokens, files } of tables) {
    console.log(`\n**${name}**, one sequence of ${tokens} tokens\n`);
    console.log(markdown(files));
  }
  mkdirSync(join(import.meta.dirname, "results"), { recursive: true });
  writeFileSync(
    join(import.meta.dirname, "results/latency-table.json"),
    `${JSON.stringify({ ...where, settings, networks: tables }, undefined, 1)}\n`,
  );
}

function summarise({ name, tokens, files }, n) {
  return {
    name,
    tokens,
    files: files.map(({ label, sizeBytes, parameters, macs }, i) => ({
      label,
      sizeBytes,
      parameters,
      macs,
      times: Object.fromEntries(
        chosen.map((setting) => {
          const timed = results[setting][n];
          const { loadsMs, runsMs } = timed[i];
          const ratio = median(timed[0].runsMs.map((dense, round) => dense / runsMs[round]));
          return [
            setting,
            { loadMs: Math.min(...loadsMs), medianMs: median(runsMs), ratio, runs: runsMs.length },
          ];
        }),
      ),
    })),
  };
}

function markdown(files) {
  const loads = ["node 1", "chromium 1"].filter((setting) => chosen.includes(setting));
  const header = [
    "file",
    "MB",
    "MACs",
    ...loads.map((setting) => `load ms, ${setting.startsWith("node") ? "node" : "Chromium"}`),
    ...chosen.map((setting) => settings[setting].heading),
  ];
  const rows = files.map(({ label, sizeBytes, macs, times }) => [
    label,
    (sizeBytes / 1e6).toFixed(1),
    (macs / files[0].macs).toFixed(2),
    ...loads.map((setting) => times[setting].loadMs.toFixed(0)),
    ...chosen.map(
      (setting) => `${milliseconds(times[setting].medianMs)} ms, ${times[setting].ratio.toFixed(2)}×`,
    ),
  ]);
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function milliseconds(value) {
  return value.toFixed(value < 20 ? 1 : 0);
}
