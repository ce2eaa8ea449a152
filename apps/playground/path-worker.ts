import { expose } from "comlink";
import { followPath, type PathPoint, type RegressionSetup, type RegressionTruth } from "./regression-path.ts";

/** The path, away from the page's own thread. */
export type PathWorker = typeof worker;

const worker = {
  follow: (
    setup: RegressionSetup,
    onTruth: (truth: RegressionTruth) => Promise<void>,
    onPoint: (point: PathPoint) => Promise<void>,
  ): Promise<void> => followPath(setup, { onTruth, onPoint }),
};

expose(worker);
