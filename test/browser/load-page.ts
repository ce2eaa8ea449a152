import { load, type LoadOptions, type LatencyStats, numbersOf } from "@dgate/onnx/web";

/** What the page is asked to do: load the model, run it on `input` so often, and tell. */
export interface PageTask {
  readonly options: Pick<LoadOptions, "providers" | "threads" | "cache" | "sha256">;
  readonly url: string;
  readonly input: readonly number[];
  readonly shape: readonly number[];
  readonly runs: number;
}

/** What the page tells. */
export interface PageResult {
  readonly output: readonly number[];
  readonly provider: string;
  readonly threads: number;
  readonly notes: readonly string[];
  readonly phases: readonly string[];
  readonly latency: LatencyStats;
}

/** Runs in the browser, in a page or in a worker. */
export async function runTask({ options, url, input, shape, runs }: PageTask): Promise<PageResult> {
  const phases = new Set<string>();
  const model = await load<"x", "y">(url, {
    ...options,
    wasmPaths: new URL("/ort/", globalThis.location.href).href,
    onProgress: ({ phase }) => phases.add(phase),
  });
  let output: number[] = [];
  for (let i = 0; i < runs; i++) output = [...numbersOf((await model.run({ x: { data: input, shape } })).y)];
  const { provider, threads, notes } = model;
  const latency = model.latency();
  await model.dispose();
  return { output, provider, threads, notes, phases: [...phases], latency };
}

// The test calls the page's function, and the page's worker, by these.
Object.assign(globalThis, { runTask });
if (typeof document === "undefined") {
  globalThis.addEventListener("message", ({ data }: MessageEvent<PageTask>) => {
    void runTask(data).then(
      (result) => postMessage({ result }),
      (error: unknown) => postMessage({ error: String(error) }),
    );
  });
}
