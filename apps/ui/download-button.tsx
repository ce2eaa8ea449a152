import { useState } from "preact/hooks";
import { Notice } from "./controls.tsx";
import { saveFile } from "./save-file.ts";
import { adviceFor } from "./worker-errors.ts";

interface DownloadButtonProps {
  readonly label: string;
  /** Of the file. */
  readonly name: string;
  readonly type?: string;
  /** Made when the button is pressed. */
  readonly content: () => Promise<Uint8Array<ArrayBuffer> | string>;
}

/** A button that lets the reader save what it makes. */
export function DownloadButton({ label, name, type, content }: DownloadButtonProps) {
  const [trouble, setTrouble] = useState("");
  const save = async (): Promise<void> => {
    setTrouble("");
    try {
      saveFile(name, await content(), type);
    } catch (error) {
      setTrouble(adviceFor(error));
    }
  };
  return (
    <>
      <button type="button" onClick={() => void save()}>
        {label}
      </button>
      {trouble && <Notice bad>{trouble}</Notice>}
    </>
  );
}
