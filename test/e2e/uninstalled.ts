const hooks = `export async function resolve(name, context, next) {
  if (/^@(huggingface|xenova)\\/transformers$/.test(name)) throw new Error("Cannot find package '" + name + "'");
  return next(name, context);
}`;

const script = `import { register } from "node:module";
register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;

/** Environment of a command for which no transformers.js is installed. */
export const uninstalled: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(script)}`,
};
