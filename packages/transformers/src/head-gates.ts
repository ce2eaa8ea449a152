import { DgateError, formatTable } from "@dgate/core";
import { writeModel } from "@dgate/onnx";
import type { BlockFinding, GatedBlock, SiteGroup } from "./blocks/block.ts";
import type { GatedPart } from "./gates/gated-part.ts";
import { checkSameClass, GatedSession, type SessionGate } from "./gates/gated-session.ts";
import { GateTable } from "./gates/gate-table.ts";
import { type LiveGraph, withOpenGates } from "./gates/live-graph.ts";
import { type ImportanceMethod, type ImportanceOptions, importanceOf } from "./importance/importance.ts";
import { learnGates } from "./learn/learn-gates.ts";
import type { LearnOptions } from "./learn/learn-options.ts";
import type { LearnReport } from "./learn/learn-report.ts";
import type { Example } from "./data/example.ts";
import type {
  GivenModel,
  GivenPipeline,
  Library,
  LibraryModel,
  LibraryPipeline,
  LibrarySession,
} from "./library/library.ts";
import type { LibraryRuntime } from "./library/runtime.ts";
import { type SessionSlot, sessionSlots, slotOf } from "./library/session-slots.ts";
import { checkSameNames, swapBack, type SwappedSession } from "./library/swapped-session.ts";
import type { Scores } from "./prune/choose-groups.ts";
import { type PruneOptions, pruneModel } from "./prune/prune-model.ts";
import type { PrunedTransformer } from "./prune/pruned-transformer.ts";
import type { OpenedModel } from "./source/open-model.ts";

/** What `HeadGates` is made of: see `openHeadGates`. */
export interface HeadGatesParts {
  readonly library: Library;
  readonly runtime: LibraryRuntime;
  readonly model: OpenedModel;
  readonly parts: readonly GatedPart[];
  readonly groups: readonly SiteGroup[];
  readonly depth: number;
  readonly threads: number;
}

/** A model of transformers.js with a gate for every attention head, and on request for feed-forward neurons and whole residual branches. */
export class HeadGates {
  readonly #parts: HeadGatesParts;
  readonly #tables: Readonly<Record<SiteGroup, GateTable>>;
  #attached: SwappedSession[] = [];
  /** What gated sessions run. */
  readonly #running = new WeakMap<LibrarySession, { readonly part: GatedPart; readonly live: LiveGraph }>();
  #learned: LearnReport | undefined;
  #learning = false;

  /** Made by `openHeadGates`. */
  constructor(parts: HeadGatesParts) {
    this.#parts = parts;
    const table = (group: SiteGroup, what: string): GateTable => {
      const blocks = parts.parts.flatMap((part) => (parts.groups.includes(group) ? part.blocks : []));
      return new GateTable(
        blocks.filter((block) => block.group === group),
        what,
      );
    };
    this.#tables = {
      heads: table("heads", "head"),
      ffn: table("ffn", "neuron"),
      layers: table("layers", "branch"),
    };
  }

  /** Gates of attention heads: layers × heads. Of grouped-query attention each is a key–value head with its queries. */
  get heads(): GateTable {
    return this.#tables.heads;
  }

  /** Gates of feed-forward neurons, if `sites` has `ffn`. */
  get ffn(): GateTable {
    return this.#tables.ffn;
  }

  /** Gates of whole residual branches, if `sites` has `layers`. */
  get layers(): GateTable {
    return this.#tables.layers;
  }

  /** All blocks that have gates. */
  get blocks(): readonly GatedBlock[] {
    return [...this.heads.blocks, ...this.ffn.blocks, ...this.layers.blocks];
  }

  /** The table of a block's kind. */
  table({ group }: Pick<GatedBlock, "group">): GateTable {
    return this.#tables[group];
  }

  /** The pipeline that the model was opened as: dense until `attach`. */
  get pipeline(): LibraryPipeline {
    return this.#parts.model.pipeline;
  }

  /** D: see `openHeadGates`. */
  get depth(): number {
    return this.#parts.depth;
  }

  /** What the last call of `learn` found. */
  get learned(): LearnReport | undefined {
    return this.#learned;
  }

  /** Internal state for the functions of this package. */
  get internals(): HeadGatesParts {
    return this.#parts;
  }

  /**
   * Gate of a head; acts on the next call of an attached pipeline.
   *
   * @param value 0 turns the head off, 1 leaves it as it is
   * @throws DgateError `GROUP`, `DATA`
   */
  set(layer: number, head: number, value: number): this {
    this.heads.set(layer, head, value);
    return this;
  }

  /** All gates to one. Weights that were learned stay. */
  reset(): this {
    for (const table of Object.values(this.#tables)) {
      table.blocks.forEach((block) => table.of(block.name)!.fill(1));
    }
    return this;
  }

  /** Gates by block: the arrays that `set` writes to. */
  gatesOf(part: GatedPart): Map<string, Float64Array> {
    const found = new Map<string, Float64Array>();
    for (const { name, group } of part.blocks) {
      const values = this.#tables[group].of(name);
      if (values) found.set(name, values);
    }
    return found;
  }

  /** What was found at every place where the model attends or has a feed-forward layer, or why nothing of it can be removed. */
  get findings(): readonly BlockFinding[] {
    return this.#parts.parts.flatMap(({ findings }) => findings);
  }

  /** `findings` as a table. */
  explain(): string {
    const rows = this.findings.map(({ file, name, group, gated, detail }) => [
      file,
      name,
      group,
      detail,
      gated === true ? "yes" : `no: ${gated}`,
    ]);
    return formatTable(["file", "place", "kind", "what", "gated"], rows);
  }

  /**
   * Lets a pipeline run through the gates: by default the one that was opened. Call the function that comes back to put the former sessions in
   * their places again.
   *
   * @throws DgateError `OPTION` for a pipeline that runs in another onnxruntime, `CHECK` for one whose model takes other inputs
   */
  async attach(target: GivenPipeline | GivenModel = this.pipeline): Promise<() => Promise<void>> {
    const model = "model" in target ? target.model : target;
    const slots = sessionSlots(model as LibraryModel); // looks at each property that it takes
    const made: SwappedSession[] = [];
    const detach = async (): Promise<void> => {
      this.#attached = this.#attached.filter((each) => !made.includes(each));
      for (const swapped of made) await swapBack(swapped);
    };
    try {
      for (const part of this.#parts.parts) {
        if (part.live) made.push(await this.#gated(part, part.live, slotOf(part.source.slot.file, slots)));
      }
      for (const swapped of made) checkSameNames(swapped);
    } catch (error) {
      await detach();
      throw error;
    }
    for (const { slot, session } of made) slot.set(session);
    this.#attached.push(...made);
    return detach;
  }

  async #gated(part: GatedPart, live: LiveGraph, slot: SessionSlot): Promise<SwappedSession> {
    const { library, runtime } = this.#parts;
    const before = slot.get();
    checkSameClass(before, runtime.sessionClass);
    const inner = await this.#open(live);
    const gates = this.gatesOf(part);
    const feeds = [...live.inputs].map(([block, input]): SessionGate => {
      return { input, values: () => gates.get(block)! };
    });
    const session = new GatedSession(library, inner, before, feeds);
    this.#running.set(session, { part, live });
    return { slot, before, session };
  }

  async #open(live: LiveGraph): Promise<LibrarySession> {
    const { sessionClass } = this.#parts.runtime;
    const session = await sessionClass.create(writeModel(withOpenGates(live)), { logSeverityLevel: 3 });
    return session;
  }

  /** Lets attached pipelines run the weights that were learned. */
  async #renew(): Promise<void> {
    for (const { session } of this.#attached) {
      const running = this.#running.get(session);
      if (!(session instanceof GatedSession) || !running?.part.live || running.part.live === running.live)
        continue;
      const { part } = running;
      await session.renew(await this.#open(running.part.live));
      this.#running.set(session, { part, live: running.part.live });
    }
  }

  /**
   * Scores of groups without learning, for comparison: larger is more important.
   *
   * @param method `l2`, `gradient` (Michel et al. 2019), `wanda` (Sun et al. 2023, summed over a group), `random`
   */
  importance(
    method: ImportanceMethod,
    data: readonly Example[] = [],
    options: ImportanceOptions = {},
  ): Promise<Scores> {
    return importanceOf(this, method, data, options);
  }

  /**
   * Learns the gates from data: see `LearnOptions`. What falls short of the target is turned off; `prune` removes it. Gates begin at one, whatever was set before;
   * weights go on from what an earlier call learned, and groups that it turned off with their weights stay off. A call that fails or is cancelled changes
   * nothing. Attached pipelines run what was learned.
   *
   * @throws DgateError `OPTION` (also while another call learns), `DATA`, `CHECK` for a tokenizer of another model, `UNSUPPORTED`, `DIVERGED`, `ABORTED`
   */
  async learn(data: readonly Example[], options: LearnOptions = {}): Promise<LearnReport> {
    if (this.#learning) {
      throw new DgateError(
        "OPTION",
        "learn: these gates are being learned already; wait for that call, or open the model again.",
      );
    }
    this.#learning = true;
    try {
      this.#learned = await learnGates(this, data, options);
      await this.#renew();
      return this.#learned;
    } finally {
      this.#learning = false;
    }
  }

  /** Removes what is turned off, or what `options` ask for, and proves the result: see `PruneOptions`. */
  prune(options: PruneOptions = {}): Promise<PrunedTransformer> {
    return pruneModel(this, options);
  }

  /** Puts former sessions back and frees the gated ones; the pipeline stays open. */
  async dispose(): Promise<void> {
    for (const swapped of this.#attached.splice(0)) await swapBack(swapped);
  }
}
