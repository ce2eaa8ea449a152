import { DgateError } from "@dgate/core";
import { Graph, type RunnerOptions, writeModel } from "@dgate/onnx";
import type { TrainerOptions } from "@dgate/onnx/train";
import { classOf } from "../gates/gated-session.ts";
import { isNode } from "../node-modules.ts";
import { explainOrtClash, type Library, type LibrarySession } from "./library.ts";

type OrtModule = NonNullable<RunnerOptions["ort"]>;
type SessionClass = OrtModule["InferenceSession"];

/** The onnxruntime inside transformers.js. */
export interface LibraryRuntime {
  /** Version of its JavaScript part, where it tells. */
  readonly version: string | undefined;
  /** The class that the library's sessions are of. */
  readonly sessionClass: SessionClass;
  /**
   * Options of `openRunner` and `verify` that run in it; empty where it is older than 1.17, so that the installed onnxruntime is taken (that of version
   * 2 is 1.14, which can be loaded beside a newer one).
   */
  readonly engine: Pick<RunnerOptions, "ort" | "runtime">;
  /** The same for `openTrainer`. */
  readonly trainer: Pick<TrainerOptions, "ort" | "provider">;
}

/**
 * The onnxruntime that a session of transformers.js is of. All that is run and learnt runs in it, so that there is one runtime in
 * the process: two native ones of different versions cannot be loaded together.
 *
 * @throws DgateError `MISSING_PACKAGE` where a second native copy is in its way
 */
export async function runtimeOf(library: Library, session: LibrarySession): Promise<LibraryRuntime> {
  const sessionClass = classOf(session) as SessionClass; // sessions are made by their class
  const env = library.module.env.backends.onnx as OrtModule["env"]; // onnxruntime's own `env`
  const version = env.versions?.node ?? env.versions?.common;
  if (library.major === 2) return { version, sessionClass, engine: {}, trainer: {} };
  const create: SessionClass["create"] = (bytes, options) =>
    sessionClass.create(bytes, options).catch((error: unknown) => {
      throw explainRuntimeError(error);
    });
  const ort: OrtModule = { Tensor: await tensorClass(library, create), InferenceSession: { create }, env };
  const node = isNode();
  return {
    version,
    sessionClass,
    engine: { ort, runtime: node ? "node" : "web" },
    trainer: { ort, provider: node ? "cpu" : "wasm" },
  };
}

/**
 * The class of the runtime's own tensors: that of what it returns. The library's tensors may be of another copy of the class, which the
 * runtime takes as inputs but not as places to write to.
 */
async function tensorClass(
  { module }: Library,
  create: SessionClass["create"],
): Promise<OrtModule["Tensor"]> {
  const graph = new Graph("probe");
  const x = graph.addInput("x", { dtype: "float32", shape: [1] });
  graph.addOutput(graph.addNode({ op: "Identity", inputs: [x] }).outputs[0]!);
  const session = await create(writeModel(graph), { logSeverityLevel: 3 });
  const tensor = new module.Tensor("float32", new Float32Array(1), [1]);
  const feed = (tensor.ort_tensor ?? tensor) as OrtTensor; // either has type, dims and data
  const outputs = await session.run({ x: feed });
  await session.release();
  return Object.values(outputs)[0]!.constructor as unknown as OrtModule["Tensor"]; // its constructor takes type, data and dims
}

type OrtTensor = InstanceType<OrtModule["Tensor"]>;

/**
 * Refuses an onnxruntime other than that of transformers.js.
 * @throws DgateError `OPTION`
 */
export function checkSameRuntime(own: LibraryRuntime, given: OrtModule): void {
  if (given.InferenceSession === own.sessionClass) return;
  const [mine, theirs] = [own.version, given.env?.versions?.node ?? given.env?.versions?.common];
  throw new DgateError(
    "OPTION",
    `openHeadGates: \`ort\` is ${theirs ? `onnxruntime ${theirs}` : "another onnxruntime"}, but transformers.js runs in a copy of its own` +
      `${mine ? ` (${mine})` : ""}; tensors of one are not taken by the other. Leave \`ort\` out: the copy of transformers.js is used.`,
  );
}

/** An error of a runtime, explained where two native copies are its cause. */
function explainRuntimeError(error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  const why = explainOrtClash(text);
  return why === undefined ? error : new DgateError("MISSING_PACKAGE", why, { cause: error });
}
