import { DgateError } from "@dgate/core";

/** What the packages say in terms of their functions, in terms of the command line. */
const words: readonly (readonly [RegExp, string])[] = [
  [/^(openHeadGates|inspectModel|learn|save|prune): /, ""],
  [/,? ?or give the module: \{ transformers: await import\(…\) \}/, ""],
  [/open with sites: \["heads"\], or give \{ macs \}/, "give --sites heads, or --target macs=0.6"],
  [/open with sites: \["heads", "ffn", "layers"\]/, "give --sites heads,ffn,layers"],
  [/open with sites: \["heads", "ffn"\]/, "give --sites heads,ffn"],
  [/lower \{ minimum \}/, "lower --minimum"],
  [
    /choose another folder, or give \{ force: true \} to replace it/,
    "give --force to replace it, or another -o",
  ],
  [/name its task: \{ task: "([\w-]+)" \}, say/, "name its task: --task $1, say"],
  [/\{ dtype: "(\w+)" \}/, "--dtype $1"],
  [/, or leave dtypes out/, ", or leave --dtypes out"],
  [/task "([\w-]*)" is not known/, "--task $1 is not known"],
  [/objective "([\w-]+)" is/, "--objective $1 is"],
  [/target \{ heads \}/, "--target heads"],
  [/^steps is/, "--steps is"],
  [/heldOut is/, "--held-out is"],
  [/^maxLength is/, "--max-length is"],
  [/give \{ text, label \}, or leave the objective out/, "give it one, or leave --objective out"],
  [/give texts, pairs of texts, or \{ text, label \}/, "give texts to learn from"],
  [/prune it by importances: prune\(.*\)/, "prune its files one by one with dgate prune"],
];

/**
 * An error of a package as the command tells it: of which model it is, in the command's own words, with the place of an example in its file.
 *
 * @param places of the examples, and of those that are held out where they have a file of their own
 */
export function inCommandWords(
  error: unknown,
  command: string,
  places: readonly string[] = [],
  heldOutPlaces: readonly string[] = [],
): unknown {
  if (!(error instanceof DgateError)) return error;
  const told = words.reduce((text, [from, to]) => text.replace(from, to), error.message);
  const placed = told.replace(
    /\b(held-out )?example (\d+)\b/,
    (whole, isHeldOut: string | undefined, index: string) =>
      (isHeldOut === undefined ? places : heldOutPlaces)[Number(index)] ?? whole,
  );
  return new DgateError(error.code, placed.startsWith(command) ? placed : `${command}: ${placed}`, {
    cause: error,
  });
}
