import { useEffect, useRef, useState } from "preact/hooks";
import type { HeadNumbers, LiveNews, ModelFacts } from "./heads.ts";
import type { LiveState } from "./live-panel.tsx";

/** What is watched: news of anything else are stale. */
interface Watched {
  readonly model: ModelFacts;
  readonly gates: HeadNumbers;
  readonly text: string;
  readonly texts: string;
}

/** Typing settles before the model is asked. */
const settleMs = 250;
const noNews: LiveState = { news: {}, fresh: new Set() };

/**
 * Asks the model anew whenever what is watched changes.
 *
 * @param watched undefined while something else is under way
 * @param onError is told undefined when it asks anew
 * @returns what is known, and which of it is of now; undefined where there is no text to ask about
 */
export function useWatch(
  watched: Watched | undefined,
  ask: (onNews: (news: LiveNews) => void) => Promise<void>,
  onError: (error: unknown) => void,
): LiveState | undefined {
  const [live, setLive] = useState<LiveState | undefined>(noNews);
  const turn = useRef(0);
  const model = useRef<ModelFacts>(undefined);
  useEffect(() => {
    const own = ++turn.current;
    if (!watched) return undefined;
    onError(undefined);
    if (watched.text.trim() === "") {
      setLive(undefined);
      return undefined;
    }
    const isSame = model.current === watched.model;
    model.current = watched.model;
    setLive((before) => ({ news: isSame && before ? before.news : {}, fresh: new Set() }));
    const onNews = (news: LiveNews): void => {
      if (own !== turn.current) return;
      // What is told are the keys that are there.
      const told = Object.keys(news) as (keyof LiveNews)[];
      setLive((before) => ({
        news: { ...before?.news, ...news },
        fresh: new Set([...(before?.fresh ?? []), ...told]),
      }));
    };
    const timer = setTimeout(() => {
      ask(onNews).catch((error: unknown) => own === turn.current && onError(error));
    }, settleMs);
    return () => clearTimeout(timer);
  }, [watched?.model, watched?.gates, watched?.text, watched?.texts]);
  return live;
}
