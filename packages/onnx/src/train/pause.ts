/**
 * Lets timers, signals and the page have their turn. Not by a timer: a page in the background gets one a second, later one a
 * minute.
 */
export function pause(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const done = (): void => {
      port1.close();
      resolve();
    };
    port1.addEventListener("message", done, { once: true });
    port1.start();
    port2.postMessage(undefined);
  });
}
