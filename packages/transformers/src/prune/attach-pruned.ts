import { DgateError } from "@dgate/core";
import { writeModel } from "@dgate/onnx";
import { resizeCaches } from "../decoder/resize-caches.ts";
import { checkSameClass } from "../gates/gated-session.ts";
import type { GivenModel, GivenPipeline, LibraryModel, LibrarySession } from "../library/library.ts";
import { type SessionSlot, sessionSlots, slotOf } from "../library/session-slots.ts";
import { checkSameNames, swapBack, type SwappedSession } from "../library/swapped-session.ts";
import type { PrunedFile, PrunedTransformer } from "./pruned-transformer.ts";

/** See `PrunedTransformer.attach`. */
export async function attachPruned(
  pruned: PrunedTransformer,
  target: GivenPipeline | GivenModel,
): Promise<() => Promise<void>> {
  const { library } = pruned.gates.internals;
  if (!pruned.versions.includes(library.major)) {
    throw new DgateError(
      "UNSUPPORTED",
      `attach: transformers.js ${library.version} cannot run this decoder: ${pruned.notes.join("; ") || "its caches come out in another size"}.`,
    );
  }
  const model = ("model" in target ? target.model : target) as LibraryModel; // its sessions are looked at one by one
  const slots = sessionSlots(model);
  const changed = pruned.files.filter(({ graph, part }) => graph !== part.source.graph);
  const places = changed.map((file) => ({ file, slot: slotOf(file.part.source.slot.file, slots) }));
  const swapped: SwappedSession[] = [];
  try {
    for (const { file, slot } of places) swapped.push(await openPruned(pruned, file, slot));
    for (const each of swapped) checkSameNames(each);
  } catch (error) {
    for (const each of swapped) await swapBack(each);
    throw error;
  }
  for (const { slot, session } of swapped) slot.set(session);
  const restoreCaches = pruned.caches
    ? resizeCaches(library, model, pruned.config, pruned.caches)
    : undefined;
  return async () => {
    if (swapped.some(({ slot, session }) => slot.get() === session)) restoreCaches?.();
    for (const each of swapped) await swapBack(each);
  };
}

async function openPruned(
  { gates }: PrunedTransformer,
  { graph }: PrunedFile,
  slot: SessionSlot,
): Promise<SwappedSession> {
  const { sessionClass } = gates.internals.runtime;
  const before = slot.get();
  checkSameClass(before, sessionClass);
  const made = await sessionClass.create(writeModel(graph), { logSeverityLevel: 3 });
  const session = made as unknown as LibrarySession; // the library's own class
  if (before.config !== undefined) session.config = before.config;
  return { slot, before, session };
}
