/** Why a rule does not fire. */
export interface Miss {
  readonly reason: string;
}

/** `return miss("axes are not constant")` */
export const miss = (reason: string): Miss => ({ reason });

/** Whether a rule did not fire. */
export const isMiss = (found: object): found is Miss => "reason" in found;
