import { DgateError } from "@dgate/core";
import { tableOf } from "./markdown.ts";
import type { Reported } from "./reported.ts";

/** `<!-- results NAME N -->` to `<!-- end of results -->`: the N-th table of an experiment. */
const place = /(<!-- results ([\w-]+) (\d+) -->\n)[\s\S]*?(<!-- end of results -->)/g;

/**
 * A Markdown file with the tables of results at the places that ask for them.
 *
 * @throws DgateError `DATA` naming a place for which there is no table
 */
export function withTables(markdown: string, reported: readonly Reported[], file: string): string {
  return markdown.replace(place, (_, start: string, name: string, number: string, end: string) => {
    const found = reported.find(({ experiment }) => experiment.name === name);
    const table = found?.conclusion.tables[Number(number) - 1];
    if (!found || !table) {
      throw new DgateError(
        "DATA",
        `${file}: "results ${name} ${number}" asks for a table that there is not; run pnpm experiments run ${name}, or mend the number.`,
      );
    }
    const source = `\`pnpm experiments run ${name}\`, commit ${[...new Set(found.records.map(({ commit }) => commit))].join(", ")}.`;
    return `${start}\n${tableOf(table)}\n\n${source}\n\n${end}`;
  });
}
