import { DgateError } from "@dgate/core";
import type { LibrarySession } from "./library.ts";
import type { SessionSlot } from "./session-slots.ts";

/** A session that was put in the place of another. */
export interface SwappedSession {
  readonly slot: SessionSlot;
  readonly before: LibrarySession;
  readonly session: LibrarySession;
}

/** Sessions that are freed, with what they had replaced. */
const freed = new WeakMap<LibrarySession, LibrarySession>();

/**
 * Frees a session and puts back what it replaced. Swaps may be undone in any order, and twice: what was freed meanwhile does not come back, but
 * what it had replaced.
 */
export async function swapBack({ slot, before, session }: SwappedSession): Promise<void> {
  if (freed.has(session)) return;
  freed.set(session, before);
  if (slot.get() === session) slot.set(alive(before));
  // A pipeline that was disposed of has freed it already.
  await session.release?.().catch(() => undefined);
}

function alive(session: LibrarySession): LibrarySession {
  const before = freed.get(session);
  return before ? alive(before) : session;
}

/**
 * Refuses to put a session in the place of one that takes or gives something else.
 *
 * @throws DgateError `CHECK`
 */
export function checkSameNames({ before, session }: SwappedSession): void {
  for (const side of ["inputNames", "outputNames"] as const) {
    const [wanted, own] = [before[side], session[side]].map((names) => [...names].sort().join(", "));
    if (wanted === own) continue;
    throw new DgateError(
      "CHECK",
      `attach: the pipeline's model ${side === "inputNames" ? "takes" : "gives"} ${wanted}, that of the gates ${own}; attach a pipeline of the same model.`,
    );
  }
}
