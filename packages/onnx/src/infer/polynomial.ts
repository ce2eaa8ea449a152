/**
 * A symbolic size as a polynomial over names with integer coefficients: `past + seq` is { "past": 1, "seq": 1 }, `12·batch` is
 * { "batch": 12 }. A key is the product of its names, sorted and joined by `·`; the constant has the key "".
 */
export type Polynomial = ReadonlyMap<string, number>;

/** More terms than this count as unknown: each operation can multiply them. */
const maxTerms = 16;
/** Deeper parentheses make a name, not a formula. */
const maxDepth = 16;

export const constantOf = (value: number): Polynomial => new Map(value === 0 ? [] : [["", value]]);

/** The number that a polynomial without names is. */
export function numberOf(polynomial: Polynomial): number | undefined {
  if (polynomial.size === 0) return 0;
  return polynomial.size === 1 ? polynomial.get("") : undefined;
}

export function add(a: Polynomial, b: Polynomial, factor = 1): Polynomial | undefined {
  const sum = new Map(a);
  for (const [key, value] of b) put(sum, key, value * factor);
  return bounded(sum);
}

export function multiply(a: Polynomial, b: Polynomial): Polynomial | undefined {
  if (a.size * b.size > maxTerms * maxTerms) return undefined;
  const product = new Map<string, number>();
  for (const [left, x] of a) for (const [right, y] of b) put(product, joinNames(left, right), x * y);
  return bounded(product);
}

/** Exact quotient, `undefined` where there is none. */
export function divide(dividend: Polynomial, divisor: Polynomial): Polynomial | undefined {
  if (divisor.size === 0) return undefined;
  if (dividend.size === 0) return dividend;
  if (divisor.size === 1) {
    const [[key, value]] = divisor as unknown as [[string, number]]; // exactly one entry
    return divideByTerm(dividend, key, value);
  }
  // Quotients met in shapes are single terms: (past + seq)·768 by (past + seq)·12.
  const [first] = sortedTerms(divisor);
  const lead = first && sortedTerms(dividend).map(([key, value]) => quotientTerm(key, value, ...first));
  for (const candidate of lead ?? []) {
    if (!candidate) continue;
    const quotient = new Map([candidate]);
    const product = multiply(quotient, divisor);
    if (product && print(product) === print(dividend)) return quotient;
  }
  return undefined;
}

function divideByTerm(dividend: Polynomial, key: string, value: number): Polynomial | undefined {
  const quotient = new Map<string, number>();
  for (const [name, coefficient] of dividend) {
    const term = quotientTerm(name, coefficient, key, value);
    if (!term) return undefined;
    put(quotient, ...term);
  }
  return quotient;
}

function quotientTerm(
  key: string,
  value: number,
  byKey: string,
  byValue: number,
): readonly [string, number] | undefined {
  if (byValue === 0 || value % byValue !== 0) return undefined;
  const names = namesOf(key);
  for (const name of namesOf(byKey)) {
    const at = names.indexOf(name);
    if (at < 0) return undefined;
    names.splice(at, 1);
  }
  return [names.join("·"), value / byValue];
}

/** The value with a number for every name. */
export function evaluate(polynomial: Polynomial, valueOf: (name: string) => number): number {
  let total = 0;
  for (const [key, value] of polynomial)
    total += namesOf(key).reduce((product, name) => product * valueOf(name), value);
  return total;
}

/** The names of a term. */
export const namesOf = (key: string): string[] => (key === "" ? [] : splitTop(key, "·"));

/** `12·batch`, `(past + seq)`, `(seq - 1)`: the form that `parse` reads. */
export function print(polynomial: Polynomial): string {
  const terms = sortedTerms(polynomial);
  if (terms.length === 0) return "0";
  const text = terms.reduce((whole, [key, value]) => {
    const size = Math.abs(value);
    const term = key === "" ? String(size) : size === 1 ? key : `${size}·${key}`;
    if (whole === "") return value < 0 ? `-${term}` : term;
    return `${whole} ${value < 0 ? "-" : "+"} ${term}`;
  }, "");
  return terms.length > 1 ? `(${text})` : text;
}

/** Names first, in order; the constant last. */
function sortedTerms(polynomial: Polynomial): (readonly [string, number])[] {
  return [...polynomial].sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : a < b ? -1 : a > b ? 1 : 0));
}

function put(terms: Map<string, number>, key: string, value: number): void {
  const sum = (terms.get(key) ?? 0) + value;
  if (sum === 0) terms.delete(key);
  else terms.set(key, sum);
}

function bounded(terms: Map<string, number>): Polynomial | undefined {
  if (terms.size > maxTerms) return undefined;
  for (const [key, value] of terms) if (!Number.isSafeInteger(value) || key.length > 500) return undefined;
  return terms;
}

const joinNames = (a: string, b: string): string => [...namesOf(a), ...namesOf(b)].sort().join("·");

const parsed = new Map<string, Polynomial | undefined>();

/**
 * Reads what `print` writes, and the sums that exporters use as names (`past_sequence_length + 1`). Anything else is one
 * name.
 *
 * @returns `undefined` for a formula of too many terms
 */
export function parse(text: string): Polynomial | undefined {
  if (!parsed.has(text)) {
    if (parsed.size > 10_000) parsed.clear();
    parsed.set(text, parseSum(text, 0));
  }
  return parsed.get(text);
}

function parseSum(text: string, depth: number): Polynomial | undefined {
  if (depth > maxDepth || !isBalanced(text)) return new Map([[text, 1]]);
  const inner = unwrapped(text);
  if (inner !== undefined) return parseSum(inner, depth + 1);
  let sum: Polynomial | undefined = constantOf(0);
  for (const { sign, term } of termsOf(text)) {
    const product = parseProduct(term, depth);
    sum = sum && product && add(sum, product, sign);
  }
  return sum;
}

function parseProduct(text: string, depth: number): Polynomial | undefined {
  if (/^-[^\d]/.test(text)) {
    const positive = parseProduct(text.slice(1), depth);
    return positive && multiply(constantOf(-1), positive);
  }
  let product: Polynomial | undefined = constantOf(1);
  for (const factor of splitTop(text, "·")) {
    const number = /^-?\d{1,16}$/.test(factor) ? constantOf(Number(factor)) : undefined;
    const inner = number ? undefined : unwrapped(factor);
    const term: Polynomial | undefined =
      number ?? (inner === undefined ? new Map([[factor, 1]]) : parseSum(inner, depth + 1));
    product = product && term && multiply(product, term);
  }
  return product;
}

/** The terms of a sum with their signs; blanks stand around a sign between terms, so that names may hold others. */
function termsOf(text: string): { sign: number; term: string }[] {
  const terms: { sign: number; term: string }[] = [];
  let level = 0;
  let from = 0;
  let sign = 1;
  for (let i = 0; i + 3 <= text.length; i++) {
    level += levelOf(text[i]!);
    const mark = text.slice(i, i + 3);
    if (level !== 0 || i === from || i + 3 === text.length || (mark !== " + " && mark !== " - ")) continue;
    terms.push({ sign, term: text.slice(from, i) });
    sign = mark === " - " ? -1 : 1;
    from = i + 3;
    i += 2;
  }
  return [...terms, { sign, term: text.slice(from) }];
}

/** What a character does to the depth of brackets. */
const levelOf = (char: string): number =>
  char === "(" || char === "⌊" ? 1 : char === ")" || char === "⌋" ? -1 : 0;

function isBalanced(text: string): boolean {
  let level = 0;
  for (const char of text) {
    level += levelOf(char);
    if (level < 0) return false;
  }
  return level === 0;
}

/** The content of parentheses around the whole text. */
function unwrapped(text: string): string | undefined {
  if (!text.startsWith("(") || !text.endsWith(")") || text.length < 3) return undefined;
  let level = 0;
  for (const char of text.slice(0, -1)) {
    level += levelOf(char);
    if (level === 0) return undefined;
  }
  return text.slice(1, -1);
}

/** Splits outside of brackets. */
function splitTop(text: string, mark: string): string[] {
  const parts: string[] = [];
  let level = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    level += levelOf(text[i]!);
    if (level !== 0 || text[i] !== mark) continue;
    parts.push(text.slice(from, i));
    from = i + 1;
  }
  return [...parts, text.slice(from)];
}
