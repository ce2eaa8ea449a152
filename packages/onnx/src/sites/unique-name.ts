/**
 * `stem`, or `stem.2`, `stem.3`, … where it is taken.
 *
 * @param next where each stem goes on, kept from call to call: thousands of layers may have one name
 */
export function uniqueName(
  stem: string,
  taken: Pick<ReadonlySet<string>, "has">,
  next: Map<string, number>,
): string {
  let name = stem;
  let count = next.get(stem) ?? 2;
  while (taken.has(name)) name = `${stem}.${count++}`;
  next.set(stem, count);
  return name;
}
