import type { OrtModule } from "@dgate/onnx/web";

/** An onnxruntime that tells what is done with it. */
export interface WatchedOrt {
  readonly ort: OrtModule;
  /** Threads that were set when each session was made. */
  readonly threads: readonly (number | undefined)[];
  /** Sessions that were made and not released. */
  readonly open: () => number;
}

/** @param onCreate is told how many sessions there were before; what it throws refuses the next one */
export async function watchedOrt(onCreate: (before: number) => void = () => {}): Promise<WatchedOrt> {
  // Its own types say more than is used of it.
  const ort = (await import("onnxruntime-web")) as unknown as OrtModule;
  const threads: (number | undefined)[] = [];
  let open = 0;
  return {
    ort: {
      Tensor: ort.Tensor,
      env: ort.env,
      InferenceSession: {
        async create(model, options) {
          onCreate(threads.length);
          threads.push(ort.env.wasm.numThreads);
          const session = await ort.InferenceSession.create(model, options);
          open += 1;
          return new Proxy(session, {
            get(target, key) {
              if (key === "release") {
                return async () => {
                  open -= 1;
                  await target.release();
                };
              }
              const value: unknown = Reflect.get(target, key);
              return typeof value === "function" ? value.bind(target) : value;
            },
          });
        },
      },
    },
    threads,
    open: () => open,
  };
}
