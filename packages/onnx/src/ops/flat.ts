/**
 * What stands for an If in a flat graph: `Merge(condition, then outputs…, else outputs…)`. Nodes and constants of a branch are
 * those whose names begin with its prefix; what passes add to a branch takes its name from a node there.
 */
export const mergeDomain = "dgate.flat";
