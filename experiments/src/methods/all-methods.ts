import type { MethodSweep } from "../training/training-experiment.ts";
import { gradient, magnitude, magnitudeAlone, random } from "./cut-then-tune.ts";
import { fromScratch } from "./from-scratch.ts";
import { hardConcrete } from "./hard-concrete.ts";
import { direct, gating, gatingThenTune, proximal } from "./penalised.ts";

/** Strengths for each kind of method. */
interface Strengths {
  /** λ of D-Gating and of what it is compared with. */
  readonly lambdas: readonly number[];
  /** λ of the expected number of open gates (default: `lambdas`). */
  readonly hardConcrete?: readonly number[];
  /** λ at which models are trained from scratch in the widths that D = 3 ends at (default: `lambdas`). */
  readonly fromScratch?: readonly number[];
  /** Groups that are to stay. */
  readonly fractions: readonly number[];
}

/** D-Gating, as it is. */
export const gatings = [gating(2), gating(3), gating(4)] as const;

/** D-Gating, then training of what is left. */
export const tunedGatings = [gatingThenTune(3)] as const;

/** Penalties without gates. */
export const penalties = [direct(2), direct(3), proximal(2), proximal(3)] as const;

/** Train, cut, train on. */
export const cuts = [magnitude, gradient, random] as const;

export const names = (methods: readonly { readonly name: string }[]): readonly string[] =>
  methods.map(({ name }) => name);

/** Every method, with the same number of strengths each. */
export function allMethods({ lambdas, fractions, ...own }: Strengths): readonly MethodSweep[] {
  return [
    ...[...gatings, ...tunedGatings, ...penalties].map((method) => ({ method, strengths: lambdas })),
    { method: hardConcrete, strengths: own.hardConcrete ?? lambdas },
    ...[...cuts, magnitudeAlone].map((method) => ({ method, strengths: fractions })),
    { method: fromScratch, strengths: own.fromScratch ?? lambdas },
  ];
}

/** What a quick sweep can show in seconds: D-Gating against cuts of a model that has never heard of them. */
export function quickMethods({ lambdas, fractions }: Strengths): readonly MethodSweep[] {
  return [
    { method: gating(3), strengths: lambdas },
    { method: magnitudeAlone, strengths: fractions },
  ];
}
