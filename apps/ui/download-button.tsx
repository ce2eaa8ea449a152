import { useEffect, useState } from "preact/hooks";
import { Notice } from "./controls.tsx";
import { fileAddress, saveFile } from "./save-file.ts";
import { adviceFor } from "./worker-errors.ts";

interface DownloadButtonProps {
  readonly label: string;
  /** Of the file. */
  readonly name: string;
  readonly type?: string;
  readonly disabled?: boolean;
  /** Made when the button is pressed. */
  readonly content: () => Promise<Uint8Array<ArrayBuffer> | string>;
}

/**
 * A button that lets the reader save what it makes. If that takes long, a link stands there at the end: a browser lets a page save files only a few
 * seconds after a click.
 */
export function DownloadButton({ label, name, type, disabled = false, content }: DownloadButtonProps) {
  const [state, setState] = useState<
    "idle" | "making" | { readonly address: string } | { readonly trouble: string }
  >("idle");
  const ready = typeof state === "object" && "address" in state ? state.address : undefined;
  useEffect(() => {
    if (ready === undefined) return undefined;
    return () => URL.revokeObjectURL(ready);
  }, [ready]);
  const make = async (): Promise<void> => {
    setState("making");
    try {
      const address = fileAddress(await content(), type);
      if (navigator.userActivation.isActive) saveFile(name, address);
      setState({ address });
    } catch (error) {
      setState({ trouble: adviceFor(error) });
    }
  };
  return (
    <>
      <button type="button" disabled={disabled || state === "making"} onClick={() => void make()}>
        {label}
      </button>
      {ready !== undefined && (
        <a href={ready} download={name}>
          Save {name}
        </a>
      )}
      {typeof state === "object" && "trouble" in state && <Notice bad>{state.trouble}</Notice>}
    </>
  );
}
