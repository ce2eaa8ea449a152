import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";

/** All that a generator remembers: four 32-bit words. Plain data, to be stored in checkpoints. */
export type RandomState = readonly [number, number, number, number];

/** Reproducible random numbers: the same seed gives the same numbers on every machine. */
export interface RandomGenerator {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform whole number in [0, n). */
  integer(n: number): number;
  /** Shuffles in place (Fisher–Yates) and returns its argument. */
  shuffle<A extends { readonly length: number; [index: number]: unknown }>(array: A): A;
  /** Where the generator stands; `randomGenerator(state)` continues from here. */
  state(): RandomState;
}

/**
 * The sfc32 generator (C. Doty-Humphrey, PractRand), seeded through splitmix-style mixing; not for secrets.
 *
 * @param seed a whole number, or the state of another generator
 */
export function randomGenerator(seed: number | RandomState): RandomGenerator {
  const words = Uint32Array.from(typeof seed === "number" ? seedWords(seed) : checkedState(seed));
  const draw = (): number => {
    const [a = 0, b = 0, c = 0, counter = 0] = words;
    const out = (a + b + counter) >>> 0;
    words.set([b ^ (b >>> 9), c + (c << 3), ((c << 21) | (c >>> 11)) + out, counter + 1]);
    return out;
  };
  if (typeof seed === "number") for (let i = 0; i < 12; i += 1) draw();
  const next = (): number => ((draw() >>> 5) * 2 ** 26 + (draw() >>> 6)) / 2 ** 53;
  const integer = (n: number): number => {
    checkNumber("integer", "n", n, 1, 2 ** 53);
    return Math.floor(next() * n);
  };
  return {
    next,
    // Box–Muller; the second value is not kept, so that the state is the four words alone.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    integer,
    shuffle(array) {
      for (let i = array.length - 1; i > 0; i -= 1) {
        const j = integer(i + 1);
        [array[i], array[j]] = [array[j], array[i]];
      }
      return array;
    },
    state: () => [words[0]!, words[1]!, words[2]!, words[3]!],
  };
}

/** Four well-mixed words of a seed (the finaliser of MurmurHash3 on a Weyl sequence). */
function seedWords(seed: number): number[] {
  checkNumber("randomGenerator", "seed", seed, -(2 ** 53), 2 ** 53);
  // Both halves of seeds above 32 bits count.
  let weyl = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0;
  return [0, 1, 2]
    .map(() => {
      weyl = (weyl + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(weyl ^ (weyl >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      return (mixed ^ (mixed >>> 16)) >>> 0;
    })
    .concat(1);
}

function checkedState(state: RandomState): RandomState {
  const whole = Array.isArray(state) && state.length === 4 && state.every((word) => word >>> 0 === word);
  if (whole) return state;
  throw new DgateError(
    "FORMAT",
    "randomGenerator: the state is not four 32-bit words; was the checkpoint cut?",
  );
}
