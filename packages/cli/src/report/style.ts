/** Style sheet of the report. */
export const style = `
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --text: #1c2128; --faint: #5b6673; --line: #c9d1d9; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0f1419; --card: #171d24; --text: #e6edf3; --faint: #9aa7b4; --line: #38424d; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 16px; }
h1 { font-size: 24px; line-height: 1.25; margin: 12px 0 16px; }
h2 { font-size: 16px; margin: 0 0 6px; }
section { margin: 24px 0; max-width: 75ch; color: var(--faint); }
section h2 { color: var(--text); }
.scroll { overflow-x: auto; margin-bottom: 20px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; margin-bottom: 16px; }
.figures.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); }
figure { margin: 0; padding: 14px; background: var(--card); border-radius: 8px; min-width: 0; overflow: hidden; }
figcaption { color: var(--faint); font-size: 13px; line-height: 1.45; margin-top: 6px; }
figure svg { display: block; width: 100%; height: auto; }
.pixels { max-width: 300px; margin: 0 auto; }
.narrow { display: none; }
.three .narrow { display: block; }
@media (max-width: 560px) {
  main { padding: 10px; }
  h1 { font-size: 20px; }
  figure { padding: 10px; }
  .wide { display: none; }
  .narrow { display: block; }
}
`;
