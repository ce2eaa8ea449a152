/** A point of a stroke: x to the right, y down, the digit's box is [0, 1] × [0, 1]. */
export type Point = readonly [number, number];
/** Points that the pen passes through smoothly. A corner is where one stroke ends and the next begins. */
type Stroke = readonly Point[];
/** One way of writing a digit. */
export type Skeleton = readonly Stroke[];

/** Strokes parted by `|`, points by a blank, x and y in hundredths of the box. */
const written: readonly (readonly string[])[] = [
  // 0: closed oval; one that overshoots its start; a narrow one
  [
    "55,2 24,14 12,50 24,86 50,98 78,86 88,50 78,14 55,2",
    "66,10 38,4 14,36 16,78 46,98 80,80 86,38 62,8 42,12",
    "52,0 32,20 26,54 36,90 54,99 70,82 74,46 66,12 50,1",
  ],
  // 1: a stroke; with a flag; with a flag and a foot
  [
    "50,0 50,50 50,100",
    "30,24 44,12 54,0 | 54,0 53,50 52,100",
    "26,22 42,12 53,1 | 53,1 52,50 52,98 | 24,99 52,98 80,98",
  ],
  // 2: straight foot; a loop at the heel; a round one
  [
    "14,26 26,6 56,0 80,14 78,38 54,64 12,98 | 12,98 50,96 92,97",
    "18,20 44,2 74,10 76,36 50,70 22,94 10,86 24,76 48,88 72,99 94,88",
    "12,12 50,3 84,18 66,50 30,78 12,95 34,96 90,94",
  ],
  // 3: two bowls; flat top; bowls that meet in a small loop
  [
    "16,14 44,0 76,12 72,36 42,47 | 42,47 78,56 86,78 58,98 14,88",
    "14,3 46,2 82,2 | 82,2 62,22 42,42 | 42,42 74,46 86,70 66,96 14,90",
    "18,10 50,0 78,18 58,44 40,50 46,42 68,50 84,74 60,98 16,92",
  ],
  // 4: open top; closed; the upright leans on the bar
  [
    "22,2 18,32 14,58 | 14,58 50,57 92,54 | 72,4 70,50 68,100",
    "66,0 36,36 6,68 | 6,68 50,67 94,66 | 66,0 66,50 66,100",
    "24,0 14,36 24,52 52,50 80,38 | 84,0 76,44 62,100",
  ],
  // 5: bar first; in one go; a steep one
  [
    "84,3 56,2 26,3 | 26,3 23,24 20,44 | 20,44 52,36 84,54 80,84 46,99 10,88",
    "88,4 50,6 28,10 22,36 46,42 74,56 74,86 42,99 12,90",
    "80,0 58,3 40,2 | 40,2 32,22 26,42 | 26,42 56,40 70,62 60,88 30,100 8,96",
  ],
  // 6: curved back; straight back; a large bowl
  [
    "72,2 40,18 20,50 20,82 48,99 78,86 80,62 54,50 24,68",
    "50,0 34,30 24,62 30,92 56,98 72,80 60,62 36,66 26,80",
    "80,10 54,2 24,24 12,60 28,94 64,98 88,74 72,48 36,50 16,68",
  ],
  // 7: plain; crossed; a curved leg
  [
    "10,5 50,4 88,3 | 88,3 62,50 40,100",
    "10,6 50,4 86,4 | 86,4 62,48 42,100 | 34,52 60,50 84,48",
    "12,18 16,6 46,8 84,2 | 84,2 58,36 50,68 50,100",
  ],
  // 8: one figure of eight; two circles; a narrow one that starts at the right
  [
    "72,12 46,0 22,16 36,40 66,56 80,80 52,99 20,84 34,56 66,36 72,12",
    "50,1 26,12 28,36 50,46 74,36 74,12 50,1 | 50,46 20,60 20,86 50,99 82,86 80,60 50,46",
    "74,4 44,6 30,22 48,44 66,68 60,94 38,96 32,74 50,46 72,18 74,4",
  ],
  // 9: straight tail; curved tail; a hook at the bottom
  [
    "76,20 54,2 24,14 22,40 50,50 76,20 | 76,20 74,60 70,100",
    "78,12 50,0 20,20 30,46 60,46 80,20 80,48 64,80 36,100",
    "74,22 56,3 28,10 22,36 44,48 74,30 | 74,22 78,60 66,94 38,98 20,86",
  ],
];

/** How the digits 0 to 9 are written: several skeletons each, as people differ. */
export const digitSkeletons: readonly (readonly Skeleton[])[] = written.map((variants) =>
  variants.map((skeleton) => skeleton.split(" | ").map((stroke) => stroke.split(" ").map(pointOf))),
);

function pointOf(text: string): Point {
  const [x = "0", y = "0"] = text.split(",");
  return [Number(x) / 100, Number(y) / 100];
}
