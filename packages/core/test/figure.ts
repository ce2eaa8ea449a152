/** Prints a measured number for the README when `DGATE_FIGURES` is set. */
export function figure(what: string, value: number): void {
  if (process.env["DGATE_FIGURES"]) console.log(`figure: ${what}: ${value.toPrecision(2)}`);
}
