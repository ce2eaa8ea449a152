import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const packages = ["core", "onnx", "tfjs", "transformers", "cli", "testing"];
const source = { conditions: ["@dgate/source"] };

/** One project per package, plus the experiments, the apps, and `e2e` and `browser`, which cross packages. Tests read the sources, no build is needed. */
export default defineConfig({
  resolve: source,
  ssr: { resolve: source },
  test: {
    pool: "forks",
    // vitest leaves a core free, which on two cores is half of the machine: most files wait for a child process or a page now and then.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 120_000,
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [`packages/${name}/{src,test}/**/*.test.ts`],
          typecheck: { include: [`packages/${name}/**/*.test-d.ts`] },
          // DGATE_BACKEND chooses where the tests of @dgate/tfjs compute.
          // Nothing there outlives a test, and reading the sources anew for each of 150 files takes longer than many of them.
          isolate: !["core", "onnx"].includes(name),
          setupFiles: name === "tfjs" ? ["packages/tfjs/test/setup-backend.ts"] : [],
        },
      })),
      {
        extends: true as const,
        test: { name: "experiments", include: ["experiments/{src,test}/**/*.test.ts"], testTimeout: 120_000 },
      },
      {
        extends: true as const,
        test: {
          name: "apps",
          include: ["apps/**/*.test.ts"],
          globalSetup: ["apps/test/build-site.ts"],
          testTimeout: 300_000,
        },
      },
      {
        extends: true as const,
        test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 300_000 },
      },
      {
        extends: true as const,
        test: { name: "browser", include: ["test/browser/**/*.test.ts"], testTimeout: 180_000 },
      },
    ],
  },
});
