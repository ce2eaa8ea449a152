import { plot, type PlotOptions } from "@observablehq/plot";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface ChartProps {
  /** For those who cannot see it: what is drawn. */
  readonly label: string;
  readonly height: number;
  /** Drawings on top of each other, the lowest first; only those that change are drawn again. */
  readonly layers: readonly Layer[];
}

/** One drawing; two with the same key look the same at the same width. */
interface Layer {
  readonly key: unknown;
  readonly options: () => PlotOptions;
}

/** A plot that fills its column. Its height is known beforehand, so that nothing jumps. */
export function Chart({ label, height, layers }: ChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const drawn = useRef<{ readonly key: unknown; readonly width: number; readonly element: Element }[]>([]);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(holder.current!);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (width === 0) return;
    drawn.current = layers.map(({ key, options }, i) => {
      const last = drawn.current[i];
      if (last && last.key === key && last.width === width) return last;
      const { x, marginBottom = 38, ...given } = options();
      const element = plot({
        ...given,
        // At its end the name of the axis would lie on the last tick.
        x: { labelAnchor: "center", ...x },
        marginBottom,
        width,
        height,
        style: { color: "var(--ink)", background: "none", fontSize: "12px" },
      });
      element.setAttribute("aria-hidden", "true");
      return { key, width, element };
    });
    holder.current!.replaceChildren(...drawn.current.map(({ element }) => element));
  });
  return <div class="chart" role="img" aria-label={label} ref={holder} style={{ height: `${height}px` }} />;
}
