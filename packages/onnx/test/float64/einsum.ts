import { matmul } from "./matmul.ts";
import { reduced, total } from "./rows.ts";
import { readStrided, transposed } from "./strided.ts";
import { type Float64Tensor, reshaped, sizeOf, stridesOf } from "./tensor.ts";

/** A tensor whose axes have labels, each once. */
interface Labelled {
  readonly labels: readonly string[];
  readonly tensor: Float64Tensor;
}

/** Sum of products over the labels that the output lacks, operands taken from left to right. */
export function einsum(equation: string, operands: readonly Float64Tensor[]): Float64Tensor {
  const [left = "", right] = equation.replaceAll(/\s/g, "").split("->");
  const terms = left.split(",");
  if (terms.length !== operands.length) throw new Error(`Einsum ${equation}: ${operands.length} operands`);
  const lists = terms.map((term, i) => labelsOf(term, operands[i]!.shape.length));
  const output = right === undefined ? implicitOutput(lists.flat()) : outputLabels(right, lists.flat());
  const sizes = sizesOf(lists, operands);
  const parts = lists.map((labels, i) => distinct(labels, operands[i]!, sizes));
  const result = parts.reduce((a, b, i) => {
    const later = new Set([...output, ...parts.slice(i + 1).flatMap(({ labels }) => labels)]);
    return contract(a, b, later);
  });
  const summed = sumOut(result, new Set(output));
  return transposed(
    summed.tensor,
    output.map((label) => summed.labels.indexOf(label)),
  );
}

/** The axes of an ellipsis are `…0`, `…1`, counted from the last. */
function labelsOf(term: string, rank: number): string[] {
  const [front = "", back] = term.split("...");
  if (back === undefined) return front.split("");
  const hidden = rank - front.length - back.length;
  return [
    ...front.split(""),
    ...Array.from({ length: hidden }, (_, i) => `…${hidden - 1 - i}`),
    ...back.split(""),
  ];
}

function hiddenLabels(all: readonly string[]): string[] {
  return [...new Set(all.filter((label) => label.startsWith("…")))].sort().reverse();
}

function outputLabels(term: string, all: readonly string[]): string[] {
  const [front = "", back] = term.split("...");
  return back === undefined ? front.split("") : [...front.split(""), ...hiddenLabels(all), ...back.split("")];
}

/** Without an arrow: the labels that occur once, sorted, after the ellipsis. */
function implicitOutput(all: readonly string[]): string[] {
  const once = all.filter((label) => !label.startsWith("…") && all.indexOf(label) === all.lastIndexOf(label));
  return [...hiddenLabels(all), ...once.sort()];
}

function sizesOf(
  lists: readonly (readonly string[])[],
  operands: readonly Float64Tensor[],
): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [i, labels] of lists.entries()) {
    for (const [axis, label] of labels.entries()) {
      const size = operands[i]!.shape[axis]!;
      if (size !== 1 || !sizes.has(label)) sizes.set(label, size);
    }
  }
  return sizes;
}

/** The diagonal of axes with the same label; axes of size 1 are repeated to the label's size. */
function distinct(
  labels: readonly string[],
  tensor: Float64Tensor,
  sizes: ReadonlyMap<string, number>,
): Labelled {
  const unique = [...new Set(labels)];
  const strides = stridesOf(tensor.shape);
  const stride = (label: string): number =>
    labels.reduce((sum, other, i) => sum + (other === label && tensor.shape[i] !== 1 ? strides[i]! : 0), 0);
  const shape = unique.map((label) => sizes.get(label)!);
  const data = readStrided(tensor.data, shape, unique.map(stride));
  return { labels: unique, tensor: { dtype: tensor.dtype, shape, data } };
}

/** Sums over the labels that are not kept. */
function sumOut({ labels, tensor }: Labelled, kept: ReadonlySet<string>): Labelled {
  const gone = labels.flatMap((label, axis) => (kept.has(label) ? [] : [axis]));
  if (gone.length === 0) return { labels, tensor };
  return { labels: labels.filter((label) => kept.has(label)), tensor: reduced(tensor, gone, total, false) };
}

/** The product of two operands as a batched matrix product, summed over common labels that are not in `later`. */
function contract(a: Labelled, b: Labelled, later: ReadonlySet<string>): Labelled {
  const left = sumOut(a, new Set([...later, ...b.labels]));
  const right = sumOut(b, new Set([...later, ...a.labels]));
  const common = left.labels.filter((label) => right.labels.includes(label));
  const batch = common.filter((label) => later.has(label));
  const inner = common.filter((label) => !later.has(label));
  const rows = left.labels.filter((label) => !common.includes(label));
  const columns = right.labels.filter((label) => !common.includes(label));
  const x = grouped(left, [batch, rows, inner]);
  const y = grouped(right, [batch, inner, columns]);
  const labels = [...batch, ...rows, ...columns];
  const sizeOfLabel = (label: string): number =>
    left.tensor.shape[left.labels.indexOf(label)] ?? right.tensor.shape[right.labels.indexOf(label)]!;
  return { labels, tensor: reshaped(matmul(x, y), labels.map(sizeOfLabel)) };
}

/** One axis for each list of labels. */
function grouped({ labels, tensor }: Labelled, groups: readonly (readonly string[])[]): Float64Tensor {
  const turned = transposed(
    tensor,
    groups.flat().map((label) => labels.indexOf(label)),
  );
  const shape = groups.map((group) => sizeOf(group.map((label) => tensor.shape[labels.indexOf(label)]!)));
  return reshaped(turned, shape);
}
