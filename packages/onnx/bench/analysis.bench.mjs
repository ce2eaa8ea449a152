// How long it takes to understand a large graph: sites, a plan, the pruned model. `pnpm bench analysis`.
import { findAttention, findSites, planFrom, prune } from "@dgate/onnx";
import { transformer } from "./networks.mjs";

const repeats = 5;
const graph = transformer({ layers: 62, width: 64 });

/** First and median of some runs, in milliseconds, with the last result. */
function time(run) {
  let result;
  const times = Array.from({ length: repeats }, () => {
    const start = performance.now();
    result = run();
    return performance.now() - start;
  });
  const [first] = times;
  return {
    result,
    text: `first ${first.toFixed(0)} ms, median ${times.sort((a, b) => a - b)[repeats >> 1].toFixed(0)} ms`,
  };
}

const sites = time(() => findSites(graph));
const attention = time(() => findAttention(graph));
const plan = time(() => planFrom(sites.result, { sparsity: 0.5 }));
const budget = time(() => planFrom(sites.result, { macs: 0.5 }));
const pruned = time(() => prune(graph, plan.result));
console.log(`transformer of ${graph.nodes().length} nodes, ${sites.result.length} sites`);
console.log(`  findSites           ${sites.text}`);
console.log(`  findAttention       ${attention.text}`);
console.log(`  planFrom, by site   ${plan.text}`);
console.log(`  planFrom, MACs 0.5  ${budget.text}`);
console.log(`  prune               ${pruned.text}`);
