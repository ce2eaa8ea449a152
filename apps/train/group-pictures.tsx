import { useEffect, useRef, useState } from "preact/hooks";
import { onTheme } from "../ui/theme.ts";
import { deadFraction, deadNorm, side, type SiteState } from "./training.ts";

/** What a group is called, in one place and in many. */
const nouns = {
  inputs: "pixels",
  neurons: "neurons",
  filters: "filters",
  channels: "channels",
  dimensions: "dimensions",
  layer: "layers",
  scale: "scales",
} as const;

/** Groups of each site as cells: the brighter, the larger the norm; dead ones are empty. Pixels lie as they do in the image. */
export function GroupPictures({ sites }: { readonly sites: readonly SiteState[] }) {
  return (
    <div class="columns">
      {sites.map((site) => (
        <GroupPicture key={site.site} state={site} />
      ))}
    </div>
  );
}

function GroupPicture({ state: { site, kind, norms, active } }: { readonly state: SiteState }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const most = norms.reduce((a, b) => Math.max(a, b), 1e-12);
  const threshold = Math.max(deadNorm, deadFraction * most);
  const columns = kind === "inputs" ? side : Math.ceil(Math.sqrt(2 * norms.length));
  const rows = Math.ceil(norms.length / columns);
  const cell = Math.max(4, Math.min(24, Math.floor(300 / columns)));
  const [, setThemes] = useState(0);
  useEffect(() => onTheme(() => setThemes((count) => count + 1)), []);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    const style = getComputedStyle(canvas.current!);
    context.clearRect(0, 0, columns * cell, rows * cell);
    norms.forEach((norm, j) => {
      const [x, y] = [(j % columns) * cell, Math.floor(j / columns) * cell];
      if (norm <= threshold) {
        context.globalAlpha = 0.35;
        context.strokeStyle = style.getPropertyValue("color");
        context.strokeRect(x + 1.5, y + 1.5, cell - 3, cell - 3);
        return;
      }
      // From the threshold to the largest on a logarithmic scale.
      context.globalAlpha = 0.2 + 0.8 * (1 - Math.log(norm / most) / Math.log(deadFraction));
      context.fillStyle = style.getPropertyValue("outline-color");
      context.fillRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
    });
  });
  const text = `${active} of ${norms.length} ${nouns[kind]} left`;
  return (
    <figure>
      <h3>{site}</h3>
      <canvas
        ref={canvas}
        class="cells"
        role="img"
        aria-label={`${site}: ${text}`}
        width={columns * cell}
        height={rows * cell}
      />
      <figcaption>{text}</figcaption>
    </figure>
  );
}
