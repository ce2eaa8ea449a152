import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";

/** The browser of the tests: DGATE_CHROMIUM, else where Debian and Ubuntu put it. */
const chromiumPath: string = process.env.DGATE_CHROMIUM ?? "/usr/bin/chromium";

/** Whether there is a browser; says in one line what to install if not. */
export function hasChromium(): boolean {
  if (existsSync(chromiumPath)) return true;
  console.warn(
    `skipped: ${chromiumPath} is not there; install it (apt-get install chromium) or set DGATE_CHROMIUM to a Chromium.`,
  );
  return false;
}

/** A headless Chromium with threads, in a fresh profile; with WebGPU on the CPU (SwiftShader), unless there shall be no GPU. */
export async function openChromium({
  webgpu = true,
}: {
  readonly webgpu?: boolean;
} = {}): Promise<{ context: BrowserContext; close(): Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), "dgate-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    headless: true,
    args: [
      "--no-sandbox",
      ...(webgpu
        ? [
            "--disable-gpu-sandbox",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
            "--enable-features=Vulkan",
          ]
        : ["--disable-features=WebGPU,WebGPUService"]),
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
