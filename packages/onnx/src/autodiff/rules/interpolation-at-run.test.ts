import { float, type Graph, ints, string, tensorOf } from "@dgate/onnx";
import { expect, test } from "vitest";
import { checkVjp } from "../../../test/check-vjp.ts";
import { GraphBuilder } from "../../../test/graph-builder.ts";

interface Form {
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest?: string;
}

/** Resizes height and width of any image: by factors, or to the size of another image. */
function resized(
  { mode, coordinates, nearest = "floor" }: Form,
  by: "scales" | "sizes",
  shape: string[],
): Graph {
  const b = new GraphBuilder(1, 18);
  const x = b.input("x", shape);
  const attributes = {
    mode: string(mode),
    coordinate_transformation_mode: string(coordinates),
    nearest_mode: string(nearest),
    cubic_coeff_a: float(-0.5),
  };
  if (by === "scales") {
    // No quotient of sizes, so that its rounding decides nothing.
    const factors = b.graph.addInitializer(
      "factors",
      tensorOf("float32", [shape.length], [1, 1, 1.7, 0.73, 1.3].slice(0, shape.length)),
    );
    return b.output(b.op("Resize", [x, undefined, factors], attributes));
  }
  const other = b.input("other", ["n", "m"]);
  const sizes = b.op("Shape", [other]);
  const more = { ...attributes, axes: ints([2, 3]) };
  return b.output(b.op("Resize", [x, undefined, undefined, sizes], more));
}

const errors = async (graph: Graph, dims: Record<string, number>) => {
  const { float64, emitted } = await checkVjp(graph, { wrt: ["x"], dims });
  // Where sizes are known, coordinates are rounded to float32.
  return [float64 < 1e-6, emitted < 1e-5];
};

const image = ["batch", "channels", "height", "width"];

test.each<Form>(
  ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners"].flatMap(
    (coordinates) => [
      { mode: "linear", coordinates },
      ...["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"].map((nearest) => ({
        mode: "nearest",
        coordinates,
        nearest,
      })),
    ],
  ),
)("images of any size: $mode, $coordinates, $nearest", async (form) => {
  const small = { batch: 1, channels: 2, height: 1, width: 5, n: 4, m: 1 };
  const large = { batch: 2, channels: 1, height: 5, width: 6, n: 7, m: 4 };
  for (const dims of [small, large]) {
    expect(await errors(resized(form, "scales", image), dims)).toEqual([true, true]);
    expect(await errors(resized(form, "sizes", image), dims)).toEqual([true, true]);
  }
});

test("volumes of any size", async () => {
  const graph = resized({ mode: "nearest", coordinates: "asymmetric" }, "scales", [...image, "depth"]);
  expect(await errors(graph, { batch: 1, channels: 2, height: 2, width: 3, depth: 4 })).toEqual([true, true]);
});

test("cubic interpolation asks for the sizes", async () => {
  await expect(
    checkVjp(resized({ mode: "cubic", coordinates: "half_pixel" }, "scales", image), { wrt: ["x"] }),
  ).rejects.toThrow(
    expect.objectContaining({
      code: "UNSUPPORTED",
      message:
        'derivative of Resize "resize_1": for its mode (cubic, half_pixel) the sizes before and after must be known; give the sizes.',
    }),
  );
});
