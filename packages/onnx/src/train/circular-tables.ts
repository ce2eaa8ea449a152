import type { Value } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";

/** Cosines and sines as bfloat16 rounds them have squares that add up to one within this. */
const rounding = 0.02;

interface Table {
  readonly value: Value;
  readonly rows: number;
  readonly columns: number;
  readonly numbers: ArrayLike<number>;
}

/**
 * Tables of cosines and sines, from which positions are made: pairs of constants of one shape, or the halves of the rows of one constant,
 * whose squares add up to the same number everywhere. A scale of all of them (as of YaRN) does no harm. Nothing that is learned is like that.
 */
export function circularTables(constants: readonly Value[]): ReadonlySet<Value> {
  const tables = constants.flatMap(tableOf);
  const found = new Set<Value>();
  tables.forEach((table, i) => {
    const { columns } = table;
    const half = columns / 2;
    if (columns % 2 === 0 && isCircular(table, half, (at) => at + half, table)) found.add(table.value);
    for (const other of tables.slice(i + 1)) {
      if (other.rows !== table.rows || other.columns !== columns) continue;
      if (isCircular(table, columns, (at) => at, other)) found.add(table.value).add(other.value);
    }
  });
  return found;
}

/** Tables have a row for each position; single rows are biases and scales. */
function tableOf(value: Value): Table[] {
  const { data } = value;
  const columns = data?.shape.at(-1) ?? 0;
  const rows = data?.shape.slice(0, -1).reduce((a, b) => a * b, 1) ?? 0;
  if (!data || data.shape.length < 2 || rows < 2 || columns < 1) return [];
  return [{ value, rows, columns, numbers: readNumbers(data) }];
}

/** Whether `a[i]² + b[partner(i)]²` is one number r² for the first `width` columns of `a`, while both go well along the circle. */
function isCircular(a: Table, width: number, partner: (at: number) => number, b: Table): boolean {
  const bounds = [a, b].map(() => ({ low: Infinity, high: -Infinity }));
  let first: number | undefined;
  for (let row = 0; row < a.rows; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * a.columns + column;
      const pair = [a.numbers[at]!, b.numbers[partner(at)]!];
      const sum = pair[0]! ** 2 + pair[1]! ** 2;
      first ??= sum;
      // The comparison does not hold for NaN either.
      if (!(Math.abs(sum - first) <= rounding * first)) return false;
      pair.forEach((x, i) => {
        const bound = bounds[i]!;
        bound.low = Math.min(bound.low, x);
        bound.high = Math.max(bound.high, x);
      });
    }
  }
  // Ones beside small numbers have such sums too.
  const radius = Math.sqrt(first ?? 0);
  return radius > 0 && bounds.every(({ low, high }) => high - low > radius / 2);
}
