import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { Notice } from "./controls.tsx";
import { type DroppedFile, droppedFile } from "./dropped-file.ts";

interface FileDropProps {
  readonly label: string;
  readonly hint: ComponentChildren;
  /** Whether a whole folder is asked for. */
  readonly folder?: boolean;
  readonly disabled?: boolean;
  readonly onFiles: (files: readonly DroppedFile[]) => void;
}

/** A field to drop files or a folder on, or to choose them with a dialogue. */
export function FileDrop({ label, hint, folder = false, disabled = false, onFiles }: FileDropProps) {
  const id = useId();
  const [over, setOver] = useState(false);
  const [trouble, setTrouble] = useState("");
  const take = (files: readonly DroppedFile[]): void => {
    if (disabled) return setTrouble("Something is under way: drop it again when that has ended.");
    if (files.length === 0) {
      return setTrouble("There is no file in what was dropped: drop files or a folder that has some.");
    }
    setTrouble("");
    return onFiles(files);
  };
  return (
    <div
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        droppedFiles(event.dataTransfer!).then(take, (error: unknown) =>
          setTrouble(`The files could not be read (${String(error)}); choose them with the dialogue.`),
        );
      }}
    >
      <label for={id}>{label}</label>
      <input
        id={id}
        type="file"
        multiple
        disabled={disabled}
        {...(folder && { webkitdirectory: true })}
        onChange={(event) => {
          take([...event.currentTarget.files!].map((file) => droppedFile(file)));
          // The same file may be chosen once more.
          event.currentTarget.value = "";
        }}
      />
      <span class="hint">{hint}</span>
      {trouble && <Notice bad>{trouble}</Notice>}
    </div>
  );
}

/** All files of a drop, those in folders too. */
async function droppedFiles({ items }: DataTransfer): Promise<readonly DroppedFile[]> {
  // Entries must be asked for before the first await.
  const entries = [...items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return (await Promise.all(entries.map((entry) => filesOf(entry)))).flat();
}

async function filesOf(entry: FileSystemEntry): Promise<readonly DroppedFile[]> {
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    return [droppedFile(file, entry.fullPath.slice(1))];
  }
  if (!isFolder(entry)) return [];
  const reader = entry.createReader();
  const files: DroppedFile[] = [];
  // A reader gives at most a hundred entries at a time.
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (part.length === 0) return files;
    for (const each of part) files.push(...(await filesOf(each)));
  }
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
