import { DgateError } from "@dgate/core";

/** Running in Node (or a runtime that looks like it), and so not in a browser. */
export function inNode(): boolean {
  return typeof process === "object" && typeof process.versions?.node === "string";
}

/** First line of what went wrong: an error of another package must not bring its stack trace. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0]!.trim();
}

function isMissing(error: unknown, name: string): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? error.code : undefined;
  const notFound = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
  // Browsers without a bundler and development servers have texts of their own.
  const unresolved = /Failed to resolve module specifier|Cannot find (package|module)|Could not resolve/i;
  return (notFound || unresolved.test(error.message)) && error.message.includes(name);
}

/**
 * Handler for a failed import of an optional package. Written as `import("…").catch(unavailable("…"))`, because
 * esbuild lets a package be missing only where it sees the failure handled on the spot.
 *
 * @throws DgateError MISSING_PACKAGE with the line that installs it, or that says why it does not load
 */
export function unavailable(name: string): (error: unknown) => never {
  return (error) => {
    const reason = isMissing(error, name)
      ? `package ${name} is not installed; npm install ${name}`
      : `package ${name} does not load (${firstLine(error)}); npm rebuild ${name}, or install it anew`;
    throw new DgateError("MISSING_PACKAGE", reason, { cause: error });
  };
}

/** Imports what exists in Node only, so that no bundler follows the name. */
export async function importInNode(name: string): Promise<unknown> {
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
}
