import type * as NodeFiles from "node:fs/promises";
import type * as NodePath from "node:path";

// Names in variables keep bundlers of pages from resolving them.
const filesystem = "node:fs/promises";
const paths = "node:path";

/** The file system of Node. */
export const nodeFiles = (): Promise<typeof NodeFiles> => import(/* @vite-ignore */ filesystem);

/** Paths of Node. */
export const nodePath = (): Promise<typeof NodePath> => import(/* @vite-ignore */ paths);

/** Whether this is Node. */
export const isNode = (): boolean => typeof process === "object" && process.release?.name === "node";
