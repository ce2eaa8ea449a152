import { basename } from "node:path";
import { DgateError } from "@dgate/core";
import { readWhole } from "../io/files.ts";
import { parseCsv } from "./csv.ts";
import { imageTasks, type ImageTaskName, type ImageTaskOptions } from "./image-tasks.ts";
import { taskFromTable } from "./table-task.ts";
import type { Task } from "./task.ts";

export interface TaskOptions extends ImageTaskOptions {
  /** A built-in data set or the path of a CSV file. */
  readonly data: string;
  /** Column of a CSV file to predict. */
  readonly target?: string | undefined;
}

/** Whether `--data` names a built-in data set of images. */
export const isImageTask = (data: string): data is ImageTaskName => Object.hasOwn(imageTasks, data);

/**
 * Loads what `--data` names: a built-in data set, or a CSV file with `--target`.
 *
 * @throws DgateError `OPTION` for an unknown name or a missing target, and what reading the files throws
 */
export async function loadTask({ data, target, ...options }: TaskOptions): Promise<Task> {
  if (isImageTask(data)) return imageTasks[data](options);
  if (!/\.(csv|tsv|data|txt)$/i.test(data)) {
    throw new DgateError(
      "OPTION",
      `--data ${data}: expected ${Object.keys(imageTasks).join(", ")} or a file ending in .csv, .tsv, .data or .txt.`,
    );
  }
  const text = new TextDecoder().decode(await readWhole(data));
  if (target === undefined) {
    const header = text.split(/\r?\n/, 1)[0]?.slice(0, 200) ?? "";
    throw new DgateError("OPTION", `--data ${data}: give --target COLUMN, a name or number of: ${header}`);
  }
  return taskFromTable(parseCsv(text, { target, name: data }), { name: basename(data), seed: options.seed });
}
