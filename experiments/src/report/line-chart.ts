interface ChartAxis {
  readonly name: string;
  readonly log?: boolean;
  readonly min?: number;
  readonly max?: number;
}

/** A plot of lines as data: drawing it takes a library that runs need not load. */
export interface LineChart {
  readonly title: string;
  readonly caption: string;
  readonly x: ChartAxis;
  readonly y: ChartAxis;
  /** Lines of one name share an entry of the legend. */
  readonly series: readonly {
    readonly name: string;
    /** Position in the list of colours. */
    readonly colour: number;
    readonly dashed?: boolean;
    readonly thin?: boolean;
    /** Marks at the points, beside the line or alone; hollow if it is dashed. */
    readonly dots?: boolean | "only";
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}
