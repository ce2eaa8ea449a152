import { measureSteps, type StepResult, type StepSetup } from "./measure-steps.ts";

/** What is sent back: a failure of ours must not look like a GPU that is not there. */
export type Answer = { readonly result: StepResult } | { readonly failure: string };

const send = (answer: Answer): void => void process.send!(answer);

// Measures one setup that is sent here; who asked ends this process.
process.once("message", (setup: StepSetup) => {
  measureSteps(setup).then(
    (result) => send({ result }),
    (error: unknown) => send({ failure: String(error) }),
  );
});
