/** Where a file says that a tensor's content lies: in another file of the model's folder. */
export interface ExternalReference {
  /** Path below the model's folder, with `/`; checked to be relative and without `..`. */
  readonly location: string;
  /** First byte of the content in that file. */
  readonly offset: number;
  /** Bytes of the content. */
  readonly length: number;
}

/** Gives the content of an external reference: exactly `length` bytes. */
export type ExternalResolver = (reference: ExternalReference) => Uint8Array;

/**
 * The external reference of a tensor, checked.
 *
 * @param entries the key–value pairs `location`, `offset`, `length` of TensorProto.external_data
 * @param expected bytes that type and shape ask for
 * @param fail throws what is wrong: a path that leaves the model's folder, or sizes that do not fit
 */
export function externalReference(
  tensor: string,
  entries: ReadonlyMap<string, string>,
  expected: number,
  fail: (what: string) => never,
): ExternalReference {
  const location = entries.get("location") ?? "";
  const problem = locationProblem(location);
  if (problem) {
    fail(
      `tensor "${tensor}": external data at ${JSON.stringify(location)} ${problem}; ` +
        "the path must name a file below the model's folder",
    );
  }
  const sizeOf = (key: string, text: string): number => {
    const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(size))
      fail(`tensor "${tensor}": external data has ${key} "${text}", not a size in bytes`);
    return size;
  };
  const offset = sizeOf("offset", entries.get("offset") ?? "0");
  const length = sizeOf("length", entries.get("length") ?? String(expected));
  if (length !== expected)
    fail(`tensor "${tensor}": its type and shape need ${expected} bytes, its external data has ${length}`);
  return { location, offset, length };
}

function locationProblem(location: string): string | undefined {
  if (location === "") return "has no location";
  if (location.includes("\0") || location.includes("\\")) return "has a character that no portable path has";
  if (location.startsWith("/") || /^[a-z]:/i.test(location) || /^[a-z][a-z0-9+.-]*:\/\//i.test(location)) {
    return "is absolute";
  }
  if (location.split("/").includes("..")) return 'leaves its folder by ".."';
  return undefined;
}
