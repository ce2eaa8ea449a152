interface FiguresTableProps {
  /** What is compared. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly [name: string, values: readonly string[]])[];
}

/** Figures of several things side by side. */
export function FiguresTable({ columns, rows }: FiguresTableProps) {
  return (
    <div class="scroll">
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
              <td>{name}</td>
              {values.map((value, i) => (
                <td key={columns[i]}>{value}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
