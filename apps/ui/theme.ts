const key = "dgate-theme";

/** Light or dark, as the reader chose on a page of the site, else as the system has it. */
export function currentTheme(): "light" | "dark" {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Takes what was chosen before, if the browser lets a page remember. */
export function restoreTheme(): void {
  try {
    const chosen = localStorage.getItem(key);
    if (chosen) document.documentElement.dataset["theme"] = chosen;
  } catch {
    // A page without storage follows the system.
  }
}

const listeners = new Set<() => void>();

/**
 * Tells when the page gets other colours, by the reader's choice or the system's.
 *
 * @returns ends that
 */
export function onTheme(listener: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  listeners.add(listener);
  system.addEventListener("change", listener);
  return () => {
    listeners.delete(listener);
    system.removeEventListener("change", listener);
  };
}

export function chooseTheme(theme: "light" | "dark"): void {
  document.documentElement.dataset["theme"] = theme;
  for (const listener of listeners) listener();
  try {
    localStorage.setItem(key, theme);
  } catch {
    // As above: the choice holds for this page.
  }
}
