import * as fc from "fast-check";

/** The seed of all property tests; `DGATE_SEED` tries others. fast-check prints it when a property fails. */
fc.configureGlobal({ seed: Number(process.env["DGATE_SEED"] ?? 1) });

/** fast-check with a fixed seed: import it from here. */
export { fc };
