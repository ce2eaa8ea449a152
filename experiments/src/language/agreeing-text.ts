import { randomGenerator } from "@dgate/core";

const nouns = ["cat", "dog", "king", "tree", "river", "stone"] as const;
const verbs = ["see", "follow", "know", "want"] as const;

/** Sentences in which the verb agrees with its subject, as "the cats see a dog.": no file is needed. */
export function agreeingText(sentences: number): string {
  const random = randomGenerator(1);
  const pick = (words: readonly string[]): string => words[random.integer(words.length)]!;
  return Array.from({ length: sentences }, () => {
    const [subject, verb, object] = [pick(nouns), pick(verbs), pick(nouns)];
    const many = random.next() < 0.5;
    return `the ${subject}${many ? "s" : ""} ${verb}${many ? "" : "s"} a ${object}.\n`;
  }).join("");
}
