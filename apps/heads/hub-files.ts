import { DgateError } from "@dgate/core";
import { counted } from "../ui/counted.ts";

/** How far the download of a file has come, in bytes. */
export type OnFile = (file: string, loaded: number, total: number | undefined) => void;

/**
 * Looks a model up on the hub.
 *
 * @returns a `fetch` for its files: tells how far downloads are, and does not ask for files that the model does not have
 * @throws DgateError `IO` if the hub cannot be reached, or has no such model
 */
export async function hubFetch(host: string, id: string, onFile: OnFile): Promise<typeof fetch> {
  const names = await filesOnHub(host, id);
  const root = new URL(`${id}/resolve/`, host).href;
  return async (input, init) => {
    const address = input instanceof Request ? input.url : String(input);
    if (!address.startsWith(root)) return fetch(input, init);
    const file = address.slice(root.length).split("/").slice(1).join("/");
    if (!names.has(file)) return new Response(null, { status: 404 });
    const response = await fetch(input, init).catch((cause: unknown) => {
      throw unreachable(host, cause);
    });
    return counted(response, (loaded, total) => onFile(file, loaded, total));
  };
}

/** Names of the files of a model. */
async function filesOnHub(host: string, id: string): Promise<ReadonlySet<string>> {
  const response = await fetch(new URL(`api/models/${id}`, host)).catch((cause: unknown) => {
    throw unreachable(host, cause);
  });
  if (response.status === 401 || response.status === 404) {
    throw new DgateError(
      "IO",
      `${new URL(host).host} has no public model "${id}". Check the id (owner/name), or take the built-in model.`,
    );
  }
  if (!response.ok) throw unreachable(host, new Error(`HTTP ${response.status}`));
  // What the hub's API gives: each file as { rfilename }.
  const { siblings = [] } = (await response.json()) as {
    readonly siblings?: readonly { readonly rfilename: string }[];
  };
  return new Set(siblings.map(({ rfilename }) => rfilename));
}

const unreachable = (host: string, cause: unknown): DgateError =>
  new DgateError(
    "IO",
    `${new URL(host).host} cannot be reached (${cause instanceof Error ? cause.message : String(cause)}). Check the connection, or take the built-in model or a folder, which need none.`,
    { cause },
  );
