import { Scroll } from "./controls.tsx";

interface FiguresTableProps {
  /** What the table is about. */
  readonly label: string;
  /** What is compared. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly [name: string, values: readonly string[]])[];
}

/** Figures of several things side by side. */
export function FiguresTable({ label, columns, rows }: FiguresTableProps) {
  return (
    <Scroll label={label}>
      <table class="figures">
        <thead>
          <tr>
            <th scope="col">
              <span class="visually-hidden">figure</span>
            </th>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, values]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {values.map((value, i) => (
                <td key={columns[i]}>{value}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
