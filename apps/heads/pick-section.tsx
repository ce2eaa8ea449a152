import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { Choice } from "../ui/controls.tsx";
import { FileDrop } from "../ui/file-drop.tsx";
import type { ModelSource } from "./heads.ts";

interface PickSectionProps {
  readonly disabled: boolean;
  readonly onPick: (source: ModelSource) => void;
  /** What is under way, or what went wrong. */
  readonly children: ComponentChildren;
}

/** The three ways to a model. */
export function PickSection({ disabled, onPick, children }: PickSectionProps) {
  return (
    <section class="card" aria-labelledby="pick">
      <h2 id="pick">1. Pick a model</h2>
      <div class="columns">
        <div class="way">
          <h3>A small one, trained here</h3>
          <p class="hint">
            3 layers of 4 heads that tell good from bad opinions of films. It learns now, in this page, from
            sentences that rules write; nothing is fetched from elsewhere.
          </p>
          <button
            type="button"
            class="primary"
            disabled={disabled}
            onClick={() => onPick({ kind: "built-in" })}
          >
            Train the small model
          </button>
        </div>
        <div class="way">
          <h3>A folder of yours</h3>
          <FileDrop
            label="Drop a model folder of transformers.js, or choose it"
            hint="config.json, tokenizer.json, onnx/model.onnx. It stays in this page."
            folder
            disabled={disabled}
            onFiles={(files) => onPick({ kind: "folder", files })}
          />
        </div>
        <HubForm disabled={disabled} onPick={onPick} />
      </div>
      {children}
    </section>
  );
}

function HubForm({ disabled, onPick }: Pick<PickSectionProps, "disabled" | "onPick">) {
  const id = useId();
  const [name, setName] = useState("Xenova/distilbert-base-uncased-finetuned-sst-2-english");
  const [dtype, setDtype] = useState<"best" | "q8">("best");
  return (
    <form
      class="way"
      onSubmit={(event) => {
        event.preventDefault();
        onPick({ kind: "hub", id: name.trim(), dtype });
      }}
    >
      <h3>One from the hub</h3>
      <div class="field">
        <label for={id}>Id on huggingface.co</label>
        <input
          id={id}
          type="text"
          value={name}
          required
          spellcheck={false}
          autocomplete="off"
          disabled={disabled}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </div>
      <Choice
        label="File"
        value={dtype}
        disabled={disabled}
        options={[
          ["best", "the least quantized: best to learn on"],
          ["q8", "q8: a quarter of the download"],
        ]}
        onChange={setDtype}
      />
      <p class="hint">
        Only this asks another server: its files come from huggingface.co when you press Open.
      </p>
      <button type="submit" disabled={disabled}>
        Open
      </button>
    </form>
  );
}
