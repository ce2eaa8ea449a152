import { useEffect, useRef, useState } from "preact/hooks";
import { Notice, Progress } from "./controls.tsx";
import { fileAddress, saveFile } from "./save-file.ts";
import { adviceFor } from "./worker-errors.ts";

interface DownloadButtonProps {
  readonly label: string;
  /** Of the file. */
  readonly name: string;
  readonly type?: string;
  readonly disabled?: boolean;
  /** Made when the button is pressed; may tell the part that is done. */
  readonly content: (tell: (part: number) => void) => Promise<Blob | Uint8Array<ArrayBuffer> | string>;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "making"; readonly part?: number }
  | { readonly kind: "saved" }
  | { readonly kind: "ready"; readonly address: string }
  | { readonly kind: "failed"; readonly trouble: string };

/**
 * A button that lets the reader save what it makes. If that takes long, a link stands there in the end: a browser lets a page save files only a
 * few seconds after a click.
 */
export function DownloadButton({ label, name, type, disabled = false, content }: DownloadButtonProps) {
  const [state, setState] = useState<State>({ kind: "idle" });
  // Of the file that is being made; others come too late: after a cancellation, or when the button is gone.
  const current = useRef<object>(undefined);
  useEffect(
    () => () => {
      current.current = undefined;
    },
    [],
  );
  const ready = state.kind === "ready" ? state.address : undefined;
  useEffect(() => {
    if (ready === undefined) return undefined;
    return () => URL.revokeObjectURL(ready);
  }, [ready]);
  const make = async (): Promise<void> => {
    const own = {};
    current.current = own;
    setState({ kind: "making" });
    const change = (next: () => State): void => {
      if (current.current === own) setState(next());
    };
    try {
      let done = false;
      // What is told on another way than the file may come after it.
      const made = await content((part) => {
        if (!done) change(() => ({ kind: "making", part }));
      });
      done = true;
      change(() => {
        const address = fileAddress(made, type);
        if (!navigator.userActivation.isActive) return { kind: "ready", address };
        saveFile(name, address);
        return { kind: "saved" };
      });
    } catch (error) {
      change(() => ({ kind: "failed", trouble: adviceFor(error) }));
    }
  };
  const cancel = (): void => {
    current.current = undefined;
    setState({ kind: "idle" });
  };
  return (
    <>
      <button type="button" disabled={disabled || state.kind === "making"} onClick={() => void make()}>
        {label}
      </button>
      {state.kind === "making" && state.part !== undefined && (
        <Progress text={`Writing ${name}`} value={state.part} onCancel={cancel} />
      )}
      {ready !== undefined && (
        <a href={ready} download={name}>
          Save {name}
        </a>
      )}
      {/* A browser shows what it saves to those who see. */}
      <span role="status" class="visually-hidden">
        {state.kind === "saved" && `${name} is saved.`}
        {state.kind === "ready" && `${name} is ready to be saved.`}
      </span>
      {state.kind === "failed" && <Notice bad>{state.trouble}</Notice>}
    </>
  );
}
