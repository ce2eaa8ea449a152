import { type ComponentChildren, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { chooseTheme, currentTheme, onTheme, restoreTheme } from "./theme.ts";

/** The pages of the site, by their folder. */
const pages = [
  { folder: "playground", title: "Playground" },
  { folder: "train", title: "Train" },
  { folder: "heads", title: "Heads" },
  { folder: "deploy", title: "Deploy" },
] as const;

/** A page's folder; empty for the one at the top. */
export type PageFolder = (typeof pages)[number]["folder"] | "";

interface ShellProps {
  readonly folder: PageFolder;
  readonly title: string;
  readonly lead: string;
  readonly children: ComponentChildren;
}

function ThemeButton() {
  const [theme, setTheme] = useState(currentTheme());
  useEffect(() => onTheme(() => setTheme(currentTheme())), []);
  const other = theme === "dark" ? "light" : "dark";
  return (
    <button type="button" onClick={() => chooseTheme(other)}>
      {other === "dark" ? "Dark" : "Light"}
    </button>
  );
}

function Shell({ folder, title, lead, children }: ShellProps) {
  const top = folder === "" ? "./" : "../";
  return (
    <>
      <a class="skip" href="#content">
        To the content
      </a>
      <header class="top">
        <div class="top-row">
          <a class="brand" href={top}>
            D-Gate
          </a>
          <nav aria-label="Demos">
            {pages.map((page) => (
              <a
                key={page.folder}
                href={`${top}${page.folder}/`}
                {...(page.folder === folder && { "aria-current": "page" })}
              >
                {page.title}
              </a>
            ))}
          </nav>
          <ThemeButton />
        </div>
      </header>
      <main id="content">
        <div>
          <h1>{title}</h1>
          <p class="lead">{lead}</p>
        </div>
        {children}
      </main>
      <footer>
        D-Gating: Kolb, Frost, Bischl, Rügamer, NeurIPS 2025, arXiv 2509.23898. The demos compute in this
        browser; they ask no other server but for a model of the hub that you name.
      </footer>
    </>
  );
}

/** Puts a page on the screen. */
export function showPage(
  folder: PageFolder,
  title: string,
  lead: string,
  Content: () => ComponentChildren,
): void {
  restoreTheme();
  render(
    <Shell folder={folder} title={title} lead={lead}>
      <Content />
    </Shell>,
    document.body,
  );
}
