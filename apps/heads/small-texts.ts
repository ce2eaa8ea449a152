import { randomGenerator } from "@dgate/core";

/** A sentence with its class: 0 is negative, 1 positive. */
export interface Opinion {
  readonly text: string;
  readonly label: 0 | 1;
}

/** The classes by their number. */
export const opinionNames = ["NEGATIVE", "POSITIVE"] as const;

const determiners = ["the", "this", "its"] as const;
const nouns = [
  "film",
  "plot",
  "acting",
  "story",
  "ending",
  "music",
  "script",
  "cast",
  "dialogue",
  "camera",
] as const;
const verbs = ["is", "was", "seems", "felt"] as const;
const negations = ["not", "never", "hardly"] as const;
const degrees = ["very", "really", "quite", "so"] as const;
const adjectives = [
  ["bad", "awful", "dull", "weak", "boring", "clumsy", "silly", "flat"],
  ["good", "great", "clever", "charming", "moving", "funny", "gripping", "strong"],
] as const;
const joints = ["and", "but", "although", ",", "."] as const;

/** All words of the sentences. */
export const opinionWords: readonly string[] = [
  ...determiners,
  ...nouns,
  ...verbs,
  ...negations,
  ...degrees,
  ...adjectives.flat(),
  ...joints,
];

/**
 * Sentences as "although the plot is not bad , the ending was dull ." The main clause has the say: what stands after "but", what
 * does not follow "although"; a negation turns its word round. Words alone do not tell the class: a model has to see which belong together.
 */
export function opinions(count: number, seed: number): readonly Opinion[] {
  const random = randomGenerator(seed);
  const pick = <T>(from: readonly T[]): T => from[random.integer(from.length)]!;
  const clause = (label: 0 | 1): string => {
    const negated = random.next() < 0.4;
    const degree = random.next() < 0.3 ? `${pick(degrees)} ` : "";
    const word = pick(adjectives[negated ? other(label) : label]);
    return `${pick(determiners)} ${pick(nouns)} ${pick(verbs)} ${negated ? `${pick(negations)} ` : ""}${degree}${word}`;
  };
  const sentence = (label: 0 | 1): string => {
    const main = clause(label);
    // Mostly the other clause contradicts, so that its words mislead.
    const side = (): string => clause(random.next() < 0.75 ? other(label) : label);
    switch (random.integer(5)) {
      case 0:
        return `${main} .`;
      case 1:
        return `${main} , and ${clause(label)} .`;
      case 2:
        return `${side()} , but ${main} .`;
      case 3:
        return `although ${side()} , ${main} .`;
      default:
        return `${main} , although ${side()} .`;
    }
  };
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2 === 0 ? 1 : 0;
    return { text: sentence(label), label };
  });
}

const other = (label: 0 | 1): 0 | 1 => (label === 0 ? 1 : 0);

/** The class of a text by the rules that `opinions` writes by; undefined of a text that is not written by them. */
export function opinionOf(text: string): 0 | 1 | undefined {
  const words = text.toLowerCase().match(/[a-z]+|[.,]/g) ?? [];
  if (words.at(-1) !== "." || !words.every((word) => opinionWords.includes(word))) return undefined;
  const clauses = words.slice(0, -1).join(" ").split(" , ");
  const main =
    clauses.find((clause) => clause.startsWith("but ")) ??
    clauses.find((clause) => !/^(although|and) /.test(clause)) ??
    "";
  const own = main.split(" ");
  const label = adjectives.findIndex((list) => list.some((word) => own.includes(word)));
  if (label < 0) return undefined;
  const negated = negations.some((word) => own.includes(word));
  return (label === 0) === negated ? 1 : 0;
}
