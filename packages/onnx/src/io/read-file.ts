import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import type { ExternalReference } from "./external-data.ts";
import { readModel, type ReadOptions } from "./read.ts";
import { writeModel } from "./write.ts";

/**
 * Reads an ONNX file with the external data beside it. External files must be regular files below the model's folder;
 * links are refused, for a model from elsewhere could point them at anything.
 *
 * @throws DgateError `IO` if a file cannot be read, else as `readModel`
 */
export async function readModelFile(
  path: string,
  options: Omit<ReadOptions, "externalData" | "name"> = {},
): Promise<Graph> {
  const folder = dirname(resolve(path));
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new DgateError("IO", `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
  return readModel(bytes, {
    ...options,
    name: path,
    externalData: (reference) => readExternal(path, folder, reference),
  });
}

/**
 * Writes a graph as an ONNX file, first under a temporary name beside it: the file is whole or not there.
 *
 * @throws DgateError `IO` if it cannot be written, else as `writeModel`
 */
export async function writeModelFile(path: string, graph: Graph): Promise<void> {
  const bytes = writeModel(graph);
  const temporary = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(resolve(path)), { recursive: true });
    const file = await open(temporary, "w");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error is the one that matters
    throw new DgateError("IO", `${path} cannot be written: ${messageOf(cause)}`, { cause });
  }
}

/** `location` is relative and without `..`, see `externalReference`; here its parts are checked to be no links. */
function readExternal(
  model: string,
  folder: string,
  { location, offset, length }: ExternalReference,
): Uint8Array {
  const where = `${model}: external data "${location}"`;
  let descriptor: number;
  try {
    let path = folder;
    for (const part of location.split("/")) {
      path = join(path, part);
      if (lstatSync(path).isSymbolicLink()) {
        throw new DgateError(
          "FORMAT",
          `${where} is or passes a link; copy the file into the model's folder.`,
        );
      }
    }
    // Between the check and the opening the last part may have become a link: O_NOFOLLOW.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  } catch (cause) {
    if (cause instanceof DgateError) throw cause;
    throw new DgateError("IO", `${where} cannot be read: ${messageOf(cause)}`, { cause });
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new DgateError("FORMAT", `${where} is no regular file.`);
    if (offset + length > stat.size) {
      throw new DgateError(
        "FORMAT",
        `${where}: bytes ${offset} to ${offset + length} are asked for, the file has ${stat.size}; it is cut off.`,
      );
    }
    return readRange(descriptor, offset, length);
  } finally {
    closeSync(descriptor);
  }
}

/** One read takes at most 2 GiB. */
function readRange(descriptor: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const read = readSync(descriptor, bytes, at, Math.min(length - at, 2 ** 30), offset + at);
    if (read === 0) return bytes.subarray(0, at); // cut off meanwhile; the reader checks the length
    at += read;
  }
  return bytes;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
