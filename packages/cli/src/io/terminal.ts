import type { Writable } from "node:stream";

/** Where a command says what it is doing. Nothing of it ever goes to stdout. */
export interface Progress {
  /** A line that stays. */
  line(text: string): void;
  /** How far the current work is: a bar on a terminal, nothing otherwise. */
  bar(fraction: number, text: string): void;
}

const BAR_WIDTH = 24;

/** Progress on a stream: a bar that is redrawn at most ten times a second if the stream is a terminal, plain lines otherwise. */
export function progressOn(
  stream: Writable & { readonly isTTY?: boolean; readonly columns?: number },
): Progress {
  let drawn = false;
  let last = 0;
  const wipe = (): void => {
    if (drawn) stream.write("\r\x1b[K");
    drawn = false;
  };
  return {
    line(text) {
      wipe();
      stream.write(`${text}\n`);
    },
    bar(fraction, text) {
      const now = performance.now();
      if (!stream.isTTY || (now - last < 100 && fraction < 1)) return;
      last = now;
      if (fraction >= 1) return wipe();
      const filled = Math.round(BAR_WIDTH * Math.max(0, fraction));
      const full = `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${text}`;
      stream.write(`\r\x1b[K${full.slice(0, (stream.columns ?? 80) - 1)}`);
      drawn = true;
    },
  };
}

/** Progress that nobody sees. */
export const silent: Progress = { line: () => undefined, bar: () => undefined };
