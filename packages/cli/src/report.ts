/** The plots and the page of `dgate train`'s report, for reports of other measurements; runs in pages, too. */
export { escapeHtml } from "./report/escape.ts";
export { axis, type Chart, drawChart, frame, widths } from "./report/svg.ts";
export { reportPage } from "./report/page.ts";
export { style } from "./report/style.ts";
export type { TrainDocument } from "./train/document.ts";
