import { DgateError } from "@dgate/core";
import type { LibraryModel, LibrarySession } from "./library.ts";

/** A place of a model where it keeps a session. */
export interface SessionSlot {
  /** Name of the ONNX file without folder, dtype suffix and ending: `model`, `encoder_model`, `decoder_model_merged`. */
  readonly file: string;
  get(): LibrarySession;
  set(session: LibrarySession): void;
}

/**
 * The sessions of a model. Version 2 has them in `session` and `decoder_merged_session`, later versions in `sessions`.
 *
 * @throws DgateError `OPTION` for something that is no model of transformers.js
 */
export function sessionSlots(model: LibraryModel): SessionSlot[] {
  const { sessions } = model;
  if (sessions) {
    const names = Object.keys(sessions);
    return names.map((name) => ({
      file: name === "model" && names.includes("decoder_model_merged") ? "encoder_model" : name,
      get: () => sessions[name]!,
      set: (session) => {
        sessions[name] = session;
      },
    }));
  }
  if (!model.session) {
    throw new DgateError(
      "OPTION",
      "openHeadGates: the object holds no onnxruntime session; give a pipeline or a model of transformers.js.",
    );
  }
  const first: SessionSlot = {
    file: model.decoder_merged_session ? "encoder_model" : version2File(model),
    get: () => model.session!,
    set: (session) => {
      model.session = session;
    },
  };
  if (!model.decoder_merged_session) return [first];
  const second: SessionSlot = {
    file: "decoder_model_merged",
    get: () => model.decoder_merged_session!,
    set: (session) => {
      model.decoder_merged_session = session;
    },
  };
  return [first, second];
}

/**
 * The place of a file's session; of a model with one session that one, for versions name the files of decoders differently.
 *
 * @throws DgateError `CHECK`
 */
export function slotOf(file: string, slots: readonly SessionSlot[]): SessionSlot {
  const slot = slots.find((each) => each.file === file) ?? (slots.length === 1 ? slots[0] : undefined);
  if (slot) return slot;
  throw new DgateError(
    "CHECK",
    `attach: the pipeline has the sessions ${slots.map((each) => each.file).join(", ")}, but the model that was opened has ${file}; attach a pipeline of the same model.`,
  );
}

/** Version 2 loads every decoder from `decoder_model_merged.onnx`. */
const version2File = (model: LibraryModel): string =>
  model.session!.inputNames.some((name) => name.startsWith("past_key_values."))
    ? "decoder_model_merged"
    : "model";
