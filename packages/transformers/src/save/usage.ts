import { dtypeSuffixes, type Dtype } from "../source/dtype.ts";
import type { LibraryMajor } from "../decoder/decoder-families.ts";

/** What usage depends on. */
export interface UsageFacts {
  readonly name: string;
  readonly versions: readonly LibraryMajor[];
  readonly dtypes: readonly Dtype[];
}

/** How a written folder is opened, version by version. */
export function usageOf(task: string, { name, versions, dtypes }: UsageFacts): string {
  const open = JSON.stringify(task);
  const dtype = dtypes[0]!;
  const later = versions.filter((version) => version > 2);
  const parts: string[] = [];
  if (later.length > 0) {
    parts.push(
      `transformers.js ${later.join(" and ")}; \`dtype\` is ${dtypes.map((each) => `\`${each}\` (\`*${dtypeSuffixes[each]}.onnx\`)`).join(", ")}:`,
      code(
        `import { pipeline } from "@huggingface/transformers";\n\nconst run = await pipeline(${open}, "/path/to/${name}", { dtype: ${JSON.stringify(dtype)} });`,
      ),
    );
  }
  if (versions.includes(2) && (dtypes.includes("q8") || dtypes.includes("fp32"))) {
    parts.push(
      "transformers.js 2, which takes the folder that models are in apart from their name:",
      code(
        `import { env, pipeline } from "@xenova/transformers";\n\nenv.localModelPath = "/path/to/";\nconst run = await pipeline(${open}, ${JSON.stringify(name)}, { quantized: ${dtypes.includes("q8")} });`,
      ),
    );
  }
  parts.push(
    "In a page, serve the folder and name where it is:",
    code(
      `env.allowLocalModels = true;\nenv.allowRemoteModels = false;\nenv.localModelPath = "/models/";\nconst run = await pipeline(${open}, ${JSON.stringify(name)});`,
    ),
  );
  return parts.join("\n\n");
}

const code = (text: string): string => `\`\`\`js\n${text}\n\`\`\``;
