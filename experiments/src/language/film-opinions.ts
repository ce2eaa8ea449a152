import { randomGenerator } from "@dgate/core";
import type { Sentence } from "./sentences.ts";

/** Sentences as "the plot is not bad , but long .": kind if one of "not" and "bad" is there without the other. */
export function filmOpinions(count: number, seed: number): readonly Sentence[] {
  const random = randomGenerator(seed);
  const pick = (words: readonly string[]): string => words[random.integer(words.length)]!;
  return Array.from({ length: count }, () => {
    const [not, word] = [pick(["", "not "]), pick(["good", "bad"])];
    const text = `${pick(["a", "the"])} ${pick(["film", "plot"])} is ${not}${word}${pick(["", " , but long", " and short"])} .`;
    return { text, label: (word === "good") === (not === "") ? 2 : 0 };
  });
}
