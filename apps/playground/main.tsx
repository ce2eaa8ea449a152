import { showPage } from "../ui/shell.tsx";
import { GroupSection } from "./group-section.tsx";
import { PathSection } from "./path-section.tsx";

showPage(
  "playground",
  "Why D-Gating works",
  "Plain L2 on the factors of a product is a sparse penalty on the product. Move the sliders and watch; all of it is computed here, by @dgate/core, in float64.",
  () => (
    <>
      <GroupSection />
      <PathSection />
    </>
  ),
);
