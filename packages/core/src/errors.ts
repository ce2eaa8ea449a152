/** Stable names of what went wrong; scripts branch on these, people read the message. */
export type DgateErrorCode =
  /** An option or argument is out of its range or of the wrong form. */
  | "OPTION"
  /** Shapes, lengths or layouts do not fit each other. */
  | "SHAPE"
  /** A group, site or plan names something that is not there. */
  | "GROUP"
  /** A rule or query matched nothing, or there is nothing to gate. */
  | "NO_MATCH"
  /** A layer, operator or feature that is not supported here. */
  | "UNSUPPORTED"
  /** A file or data record is malformed or truncated. */
  | "FORMAT"
  /** NaN, Infinity or otherwise unusable numbers. */
  | "DATA"
  /** Reading, writing or fetching failed. */
  | "IO"
  /** An optional package or backend is missing. */
  | "MISSING_PACKAGE"
  /** A check did not hold: outputs differ, a digest does not match. */
  | "CHECK"
  /** Training left the finite numbers. */
  | "DIVERGED"
  /** More memory is needed than there is. */
  | "MEMORY"
  /** The caller cancelled. */
  | "ABORTED";

/**
 * The one error class of all `@dgate/*` packages: says where, what was expected, what was found and the way out,
 * in one line. `code` is stable, the message is not.
 */
export class DgateError extends Error {
  override readonly name = "DgateError";
  readonly code: DgateErrorCode;

  constructor(code: DgateErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
