import type * as NodeFiles from "node:fs/promises";
import type * as NodePath from "node:path";
import { DgateError } from "@dgate/core";
import type { FileContent } from "./file-content.ts";
import { nodeFiles, nodePath } from "../node-modules.ts";
import type { SavedFile } from "./save-options.ts";
import { stopIfAborted } from "../stop-if-aborted.ts";

type Files = typeof NodeFiles;
type Path = typeof NodePath;

/** Where a folder is written to. */
export interface FolderOptions {
  /** Whether a model folder that is there is replaced. */
  readonly force: boolean;
  /** The folder that must not be replaced: where the model comes from. */
  readonly source: string;
  readonly signal: AbortSignal | undefined;
}

/** Writes a folder whole or not at all: into a temporary folder beside it, which is renamed at the end. */
export class FolderWriter {
  /** The folder as an absolute path. */
  readonly target: string;
  /** Where files are written until `finish`. */
  readonly temporary: string;
  readonly files: SavedFile[] = [];
  readonly #files: Files;
  readonly #path: Path;
  readonly #options: FolderOptions;
  /** The outermost of the folders that had to be made around the target. */
  readonly #made: string | undefined;

  private constructor(
    files: Files,
    path: Path,
    target: string,
    made: string | undefined,
    options: FolderOptions,
  ) {
    this.#files = files;
    this.#path = path;
    this.#options = options;
    this.#made = made;
    this.target = target;
    this.temporary = path.join(path.dirname(target), `.${path.basename(target)}.${crypto.randomUUID()}.tmp`);
  }

  /**
   * Makes the temporary folder.
   *
   * @throws DgateError `IO` for a folder that is there (without `force`, or if it holds no model), and for one that cannot be made
   */
  static async open(folder: string, options: FolderOptions): Promise<FolderWriter> {
    const [files, path] = [await nodeFiles(), await nodePath()];
    const target = path.resolve(folder);
    if (target === path.resolve(options.source)) {
      throw new DgateError(
        "IO",
        `save: ${folder} is the folder that the model was opened from; choose another one.`,
      );
    }
    await checkFree(files, path, target, options.force);
    const parent = path.dirname(target);
    try {
      const made = await makeFolders(files, path, parent);
      const writer = new FolderWriter(files, path, target, made, options);
      await files.mkdir(writer.temporary);
      return writer;
    } catch (cause) {
      throw new DgateError(
        "IO",
        `save: ${target} cannot be made (${reasonOf(cause)}); choose another folder.`,
        { cause },
      );
    }
  }

  /**
   * Writes a file, or gives a file that was written a second name.
   *
   * @throws DgateError `IO` naming the file, `ABORTED`
   */
  async write(content: FileContent): Promise<SavedFile> {
    stopIfAborted(this.#options.signal, "save");
    const path = this.#path.join(this.temporary, content.path);
    try {
      await this.#files.mkdir(this.#path.dirname(path), { recursive: true });
      if ("linkOf" in content) await this.#link(content.linkOf, path);
      else await this.#write(path, content.chunks());
    } catch (cause) {
      if (cause instanceof DgateError) throw cause;
      throw new DgateError(
        "IO",
        `save: ${content.path} cannot be written to ${this.#path.dirname(this.target)} (${reasonOf(cause)}).`,
        { cause },
      );
    }
    const saved =
      "linkOf" in content
        ? { ...content, sizeBytes: this.files.find((file) => file.path === content.linkOf)?.sizeBytes ?? 0 }
        : { path: content.path, sizeBytes: content.sizeBytes };
    this.files.push(saved);
    return saved;
  }

  async #write(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
    const file = await this.#files.open(path, "wx");
    try {
      for (const chunk of chunks) {
        stopIfAborted(this.#options.signal, "save");
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
  }

  /** Not every file system has hard links. */
  async #link(from: string, path: string): Promise<void> {
    const source = this.#path.join(this.temporary, from);
    await this.#files.link(source, path).catch(() => this.#files.copyFile(source, path));
  }

  /**
   * Gives the folder its name.
   *
   * @throws DgateError `IO`, `ABORTED`
   */
  async finish(): Promise<void> {
    stopIfAborted(this.#options.signal, "save");
    await checkFree(this.#files, this.#path, this.target, this.#options.force);
    const old = `${this.temporary}.old`;
    const replaced = await this.#files.rename(this.target, old).then(
      () => true,
      () => false,
    );
    try {
      await this.#files.rename(this.temporary, this.target);
    } catch (cause) {
      if (replaced) await this.#files.rename(old, this.target);
      throw new DgateError("IO", `save: ${this.target} cannot be given its name (${reasonOf(cause)}).`, {
        cause,
      });
    }
    if (replaced) await this.#files.rm(old, { recursive: true, force: true });
  }

  /** Removes what was written, and the folders made around it as far as they are empty. */
  async discard(): Promise<void> {
    await this.#files.rm(this.temporary, { recursive: true, force: true });
    if (this.#made === undefined) return;
    for (let folder = this.#path.dirname(this.target); ; folder = this.#path.dirname(folder)) {
      const removed = await this.#files.rmdir(folder).then(
        () => true,
        () => false,
      );
      if (!removed || folder === this.#made) return;
    }
  }
}

/**
 * Makes a folder with those around it, one by one: `recursive` never ends where a system such as /proc denies that the parent is there.
 *
 * @returns the outermost one that was made
 */
async function makeFolders(files: Files, path: Path, folder: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let at = folder; !(await files.stat(at).catch(() => undefined)); at = path.dirname(at))
    missing.push(at);
  for (const each of missing.toReversed()) {
    await files.mkdir(each).catch((error: unknown) => {
      // Another process may have made it in the meantime.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // what node:fs throws
    });
  }
  return missing.at(-1);
}

async function checkFree(files: Files, path: Path, target: string, force: boolean): Promise<void> {
  const found = await files.lstat(target).catch(() => undefined);
  if (!found) return;
  if (!force) {
    throw new DgateError(
      "IO",
      `save: ${target} is there already; choose another folder, or give { force: true } to replace it.`,
    );
  }
  const entries = await files.readdir(target).catch(() => undefined);
  const isModel = entries?.length === 0 || entries?.includes("config.json") === true;
  if (found.isDirectory() && isModel) return;
  throw new DgateError(
    "IO",
    `save: ${path.basename(target)} in ${path.dirname(target)} is no model folder (it has no config.json), so it is not replaced; choose another one.`,
  );
}

/** `ENOENT: no such file`, without the call and the path that Node appends. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split(", ")[0] ?? message;
}
