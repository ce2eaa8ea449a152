import { writeModel } from "@dgate/onnx";
import type { BrowserContext } from "playwright-core";
import { smallModel, smallModelFiles } from "../heads/small-model.ts";

/** A model on the hub: three layers of four heads whose weights are drawn. */
export const hubModel = "someone/film-opinions";

/**
 * Answers in place of the hub, which has one model then.
 *
 * @returns the files that were asked for
 */
export async function localHub(context: BrowserContext): Promise<readonly string[]> {
  const files = new Map<string, string | Buffer>([
    ...Object.entries(smallModelFiles()),
    ["onnx/model.onnx", Buffer.from(writeModel(smallModel(1)))],
  ]);
  const asked: string[] = [];
  await context.route("https://huggingface.co/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    const headers = { "access-control-allow-origin": "*" };
    if (pathname === `/api/models/${hubModel}`) {
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      return route.fulfill({ headers, json: { siblings } });
    }
    const file = /^\/someone\/film-opinions\/resolve\/[^/]+\/(.*)$/.exec(pathname)?.[1] ?? "";
    const body = files.get(file);
    asked.push(file);
    return route.fulfill(body === undefined ? { status: 404, headers } : { headers, body });
  });
  return asked;
}
