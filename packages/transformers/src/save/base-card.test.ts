import { expect, test } from "vitest";
import type { ModelFiles } from "../source/model-files.ts";
import { readBaseCard } from "./base-card.ts";

const filesWith = (readme: string | undefined): ModelFiles => ({
  name: "owner/model",
  subfolder: "onnx",
  read: async (path) =>
    path === "README.md" && readme !== undefined ? new TextEncoder().encode(readme) : undefined,
  has: async () => false,
  places: () => [],
  list: async () => [],
});

test("licence and languages of the base model are taken over as they stand", async () => {
  const card = await readBaseCard(
    filesWith(
      "---\r\nlanguage:\r\n- en\r\n- de\r\nlicense: 'apache-2.0'\r\ntags:\r\n- other\r\nlicense_link: https://a.b\r\n---\r\n# Text\r\nlicense: mit\r\n",
    ),
  );
  expect(card).toEqual({
    license: "apache-2.0",
    lines: ["license: 'apache-2.0'", "license_link: https://a.b", "language:", "- en", "- de"],
  });
});

test.each([undefined, "", "# No front matter\n\nlicense: mit\n", "---\nlicense: mit\n"])(
  "a README without front matter has no licence: %j",
  async (readme) => {
    expect(await readBaseCard(filesWith(readme))).toEqual({ license: undefined, lines: [] });
  },
);

test("a README that cannot be read is none", async () => {
  const files = { ...filesWith(undefined), read: () => Promise.reject(new Error("offline")) };
  expect(await readBaseCard(files)).toEqual({ license: undefined, lines: [] });
});
