/** The plots and the page of `dgate train`'s report, for reports of other measurements. */
export { escapeHtml } from "./report/escape.ts";
export { axis, type Chart, drawChart, frame, widths } from "./report/svg.ts";
export { style } from "./report/style.ts";
