import { DgateError, randomGenerator, type RandomGenerator } from "@dgate/core";
import { digitSkeletons, type Point, type Skeleton } from "./digit-skeletons.ts";
import type { ImageSet } from "./image-set.ts";

/** What `digits` draws. Every strength is 1 by default and 0 for none. */
export interface DigitOptions {
  /** Number of images; the classes take turns before shuffling, so they are balanced to within one. */
  readonly count: number;
  /** The same seed gives the same images; train and test sets take different seeds. */
  readonly seed?: number;
  /** Rotation, slant, size and position. */
  readonly affine?: number;
  /** Wobble of the pen and a smooth bending of the plane. */
  readonly elastic?: number;
  /** Grain of the paper, and pen marks that belong to no digit. */
  readonly noise?: number;
}

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** Points that the pen makes between two control points. */
const STEPS = 6;
const MOST_IMAGES = 1_000_000;

/**
 * Draws 28 × 28 grey digits: stroke skeletons, several per digit, bent by a smooth random field, turned, slanted,
 * scaled and moved, drawn with a pen of random width and pressure, on paper with grain and stray marks. Hard enough that a linear model
 * stays under 90 % on fresh images, easy enough for a small network to pass 95 %.
 *
 * @throws DgateError `OPTION` for a count that is not a whole number from 1 to 1,000,000 or a negative strength
 */
export function digits({ count, seed = 1, affine = 1, elastic = 1, noise = 1 }: DigitOptions): ImageSet {
  checkOptions({ count, affine, elastic, noise });
  const random = randomGenerator(seed);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  random.shuffle(labels);
  const images = new Float32Array(count * PIXELS);
  for (let i = 0; i < count; i++) {
    const image = images.subarray(i * PIXELS, (i + 1) * PIXELS);
    drawDigit(image, labels[i]!, random, { affine, elastic, noise });
  }
  return { images, labels, count, height: SIDE, width: SIDE, channels: 1, classes: 10 };
}

type Strengths = Required<Pick<DigitOptions, "affine" | "elastic" | "noise">>;

function checkOptions({ count, ...strengths }: Strengths & { readonly count: number }): void {
  if (!Number.isInteger(count) || count < 1 || count > MOST_IMAGES) {
    throw new DgateError(
      "OPTION",
      `digits: count is ${count}; give a whole number from 1 to ${MOST_IMAGES}.`,
    );
  }
  for (const [name, value] of Object.entries(strengths)) {
    if (!(value >= 0) || value === Infinity) {
      throw new DgateError(
        "OPTION",
        `digits: ${name} is ${value}; give 0 for none, 1 for the usual strength.`,
      );
    }
  }
}

function drawDigit(image: Float32Array, digit: number, random: RandomGenerator, strengths: Strengths): void {
  const variants = digitSkeletons[digit]!;
  const skeleton = wobble(variants[random.integer(variants.length)]!, random, 0.022 * strengths.elastic);
  const place = randomPlacement(random, strengths);
  // People press and pull differently: pen radius 0.75 to 1.75 pixels, blackness 0.7 to 1.
  const radius = 0.75 + random.next() * random.next() * 1.15 + random.next() * 0.25;
  const pen = { radius, ink: 0.7 + 0.3 * random.next(), taper: 0.25 * random.next() };
  for (const stroke of skeleton) drawStroke(image, smoothStroke(stroke).map(place), pen);
  if (strengths.noise > 0) spoil(image, random, strengths.noise);
}

/** Moves each control point a little; points that two strokes share stay shared. */
function wobble(skeleton: Skeleton, random: RandomGenerator, deviation: number): Skeleton {
  const moved = new Map<string, Point>();
  return skeleton.map((stroke) =>
    stroke.map((point) => {
      const key = point.join();
      const old = moved.get(key);
      if (old) return old;
      const fresh: Point = [point[0] + deviation * random.normal(), point[1] + deviation * random.normal()];
      moved.set(key, fresh);
      return fresh;
    }),
  );
}

/** A random map from the digit's box to pixels: smooth bending, then slant, size, rotation and shift. */
function randomPlacement(random: RandomGenerator, { affine, elastic }: Strengths): (point: Point) => Point {
  const waves = Array.from({ length: 3 }, () => ({
    fx: random.normal() * 0.8,
    fy: random.normal() * 0.8,
    phase: 2 * Math.PI * random.next(),
    dx: 0.028 * elastic * random.normal(),
    dy: 0.028 * elastic * random.normal(),
  }));
  const angle = 0.16 * affine * random.normal();
  const slant = 0.14 + 0.2 * affine * random.normal();
  const width = 14.5 * Math.exp(0.16 * affine * random.normal());
  const height = 19 * Math.exp(0.1 * affine * random.normal());
  const shiftX = SIDE / 2 + 1.3 * affine * random.normal();
  const shiftY = SIDE / 2 + 1.3 * affine * random.normal();
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return ([x0, y0]) => {
    let [x, y] = [x0 - 0.5, y0 - 0.5];
    for (const { fx, fy, phase, dx, dy } of waves) {
      const wave = Math.sin(2 * Math.PI * (fx * x0 + fy * y0) + phase);
      x += dx * wave;
      y += dy * wave;
    }
    const u = (x - slant * y) * width;
    const v = y * height;
    return [cos * u - sin * v + shiftX, sin * u + cos * v + shiftY];
  };
}

/** Points along the Catmull–Rom curve through the control points. */
function smoothStroke(stroke: readonly Point[]): Point[] {
  const last = stroke.length - 1;
  const points: Point[] = [];
  for (let i = 0; i < last; i++) {
    const [a, b, c, d] = [
      stroke[Math.max(i - 1, 0)]!,
      stroke[i]!,
      stroke[i + 1]!,
      stroke[Math.min(i + 2, last)]!,
    ];
    for (let step = 0; step < STEPS; step++) {
      const t = step / STEPS;
      points.push([catmullRom(a[0], b[0], c[0], d[0], t), catmullRom(a[1], b[1], c[1], d[1], t)]);
    }
  }
  points.push(stroke[last]!);
  return points;
}

const catmullRom = (a: number, b: number, c: number, d: number, t: number): number =>
  b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));

interface Pen {
  /** In pixels. */
  readonly radius: number;
  /** Blackness in [0, 1]. */
  readonly ink: number;
  /** Share of the radius lost at the end of a stroke. */
  readonly taper: number;
}

/** Draws a polyline; a pixel is as black as the nearest part of the pen's path makes it. */
function drawStroke(image: Float32Array, points: readonly Point[], { radius, ink, taper }: Pen): void {
  for (let i = 0; i + 1 < points.length; i++) {
    const width = radius * (1 - (taper * i) / points.length);
    drawSegment(image, points[i]!, points[i + 1]!, width, ink);
  }
}

function drawSegment(
  image: Float32Array,
  [x0, y0]: Point,
  [x1, y1]: Point,
  radius: number,
  ink: number,
): void {
  const reach = radius + 0.8;
  const [left, right] = pixelRange(Math.min(x0, x1) - reach, Math.max(x0, x1) + reach);
  const [top, bottom] = pixelRange(Math.min(y0, y1) - reach, Math.max(y0, y1) + reach);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const inverse = 1 / (dx * dx + dy * dy + 1e-12);
  for (let row = top; row <= bottom; row++) {
    for (let column = left; column <= right; column++) {
      const [px, py] = [column + 0.5 - x0, row + 0.5 - y0];
      const along = Math.min(1, Math.max(0, (px * dx + py * dy) * inverse));
      const distance = Math.hypot(px - along * dx, py - along * dy);
      // The edge of the pen is 1.6 pixels soft: a stroke covers its border pixels in part.
      const black = ink * Math.min(1, Math.max(0, (reach - distance) / 1.6));
      const at = row * SIDE + column;
      if (black > image[at]!) image[at] = black;
    }
  }
}

const pixelRange = (from: number, to: number): [number, number] => [
  Math.max(0, Math.floor(from)),
  Math.min(SIDE - 1, Math.ceil(to)),
];

/** Stray marks on half of the images, then grain everywhere, clipped to [0, 1]. */
function spoil(image: Float32Array, random: RandomGenerator, noise: number): void {
  const marks = random.next() < 0.5 * noise ? 1 + random.integer(2) : 0;
  for (let i = 0; i < marks; i++) {
    const start: Point = [SIDE * random.next(), SIDE * random.next()];
    const angle = 2 * Math.PI * random.next();
    const length = 2 + 4 * random.next();
    const end: Point = [start[0] + length * Math.cos(angle), start[1] + length * Math.sin(angle)];
    drawSegment(image, start, end, 0.5, 0.25 + 0.5 * random.next());
  }
  // Triangular noise of deviation 0.06 from the halves of one xorshift32 word per pixel: grain is most of the work here.
  const scale = (0.06 * noise * Math.sqrt(6)) / 65536;
  let word = 1 + random.integer(2 ** 32 - 1);
  for (let i = 0; i < PIXELS; i++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    const value = image[i]! + scale * ((word & 0xffff) + (word >>> 16) - 65535);
    image[i] = Math.min(1, Math.max(0, value));
  }
}
