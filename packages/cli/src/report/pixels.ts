import type { TrainDocument } from "../train/document.ts";

/** The input pixels of an image model as a picture: kept ones by the size of their norm, the others pale. */
export function pixelsPicture({ inputs, sites }: TrainDocument): string {
  const [height, width] = inputs!.image!;
  const kept = new Set(inputs!.kept);
  const norms = sites.find((site) => site.kind === "inputs")?.norms ?? [];
  const largest = Math.max(...norms, 1e-12);
  // An image of several channels shows a pixel if any of its channels is kept.
  const channels = inputs!.total / (height * width);
  const cells = Array.from({ length: height * width }, (_, pixel) => {
    const own = Array.from({ length: channels }, (__, channel) => pixel * channels + channel).filter((i) =>
      kept.has(i),
    );
    const norm = Math.max(0, ...own.map((i) => norms[i] ?? largest));
    const opacity = own.length > 0 ? (0.25 + 0.75 * Math.sqrt(norm / largest)).toFixed(2) : "0.05";
    return `<rect x="${pixel % width}" y="${Math.floor(pixel / width)}" width=".92" height=".92" opacity="${opacity}"/>`;
  });
  return `<svg class="pixels" viewBox="0 0 ${width} ${height}" role="img" aria-label="kept pixels" fill="currentColor">${cells.join("")}</svg>`;
}
