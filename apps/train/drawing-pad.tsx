import { useEffect, useRef, useState } from "preact/hooks";
import { side } from "./training.ts";

const shown = 224;
/** Width of the pen, of the pad's. */
const penWidth = 0.09;
const penAtRest = { x: shown / 2, y: shown / 4, down: false };

interface DrawingPadProps {
  readonly label: string;
  /** Changes when the pad is to be emptied. */
  readonly sheet: number;
  /** After each stroke: 28 × 28 pixels in [0, 1], white ink on black. */
  readonly onDraw: (image: Float32Array) => void;
}

/** A pad to draw a digit on, with a finger, a mouse or a pen; with the keyboard, arrow keys move it and the space bar puts it down. */
export function DrawingPad({ label, sheet, onDraw }: DrawingPadProps) {
  const pad = useRef<HTMLCanvasElement>(null);
  const last = useRef<readonly [number, number] | undefined>(undefined);
  const [pen, setPen] = useState(penAtRest);

  useEffect(() => {
    const context = contextOf(pad.current!);
    context.fillStyle = "#000";
    context.fillRect(0, 0, shown, shown);
    last.current = undefined;
    setPen(penAtRest);
  }, [sheet]);

  const stroke = (x: number, y: number): void => {
    const context = contextOf(pad.current!);
    context.strokeStyle = "#fff";
    context.lineWidth = penWidth * shown;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...(last.current ?? ([x, y] as const)));
    context.lineTo(x, y);
    context.stroke();
    last.current = [x, y];
  };
  const at = (event: PointerEvent): readonly [number, number] => {
    const { left, top, width, height } = pad.current!.getBoundingClientRect();
    return [((event.clientX - left) * shown) / width, ((event.clientY - top) * shown) / height];
  };
  const lift = (): void => {
    if (!last.current) return;
    last.current = undefined;
    const image = readDigit(pad.current!);
    if (image) onDraw(image);
  };
  const key = (event: KeyboardEvent): void => {
    const moves: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [-8, 0],
      ArrowRight: [8, 0],
      ArrowUp: [0, -8],
      ArrowDown: [0, 8],
    };
    const move = moves[event.key];
    if (event.key === " ") {
      if (pen.down) lift();
      else stroke(pen.x, pen.y);
      setPen({ ...pen, down: !pen.down });
    } else if (move) {
      const x = Math.min(shown, Math.max(0, pen.x + move[0]));
      const y = Math.min(shown, Math.max(0, pen.y + move[1]));
      if (pen.down) stroke(x, y);
      setPen({ x, y, down: pen.down });
    } else return;
    event.preventDefault();
  };
  return (
    // It takes the arrow keys itself, as a program does.
    <div
      class="pad"
      role="application"
      aria-label={`${label}. With the keyboard: arrow keys move the pen, the space bar puts it down and lifts it.`}
      tabIndex={0}
      onKeyDown={key}
      onBlur={() => {
        lift();
        setPen({ ...pen, down: false });
      }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        stroke(...at(event));
      }}
      onPointerMove={(event) => {
        if (last.current && event.buttons > 0) stroke(...at(event));
      }}
      onPointerUp={lift}
      onPointerCancel={lift}
    >
      <canvas ref={pad} aria-hidden="true" width={shown} height={shown} />
      <span
        class={pen.down ? "pen down" : "pen"}
        aria-hidden="true"
        style={{ left: `${(100 * pen.x) / shown}%`, top: `${(100 * pen.y) / shown}%` }}
      />
      <span role="status" class="visually-hidden">
        {pen.down ? "Pen down" : ""}
      </span>
    </div>
  );
}

const contextOf = (canvas: HTMLCanvasElement): CanvasRenderingContext2D =>
  canvas.getContext("2d", { willReadFrequently: true })!;

/**
 * What is drawn, at the size and place of the digits that are trained on: its larger side 20 of 28 pixels, in the middle.
 * Undefined for an empty pad.
 */
function readDigit(pad: HTMLCanvasElement): Float32Array | undefined {
  const { data } = contextOf(pad).getImageData(0, 0, shown, shown);
  const box = { left: shown, right: 0, top: shown, bottom: 0 };
  for (let y = 0; y < shown; y++) {
    for (let x = 0; x < shown; x++) {
      if (data[4 * (y * shown + x)]! < 64) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
    }
  }
  const [width, height] = [box.right - box.left, box.bottom - box.top];
  if (width <= 0) return undefined;
  const small = document.createElement("canvas");
  small.width = side;
  small.height = side;
  const context = contextOf(small);
  context.imageSmoothingQuality = "high";
  const scale = 20 / Math.max(width, height);
  context.fillRect(0, 0, side, side);
  context.drawImage(
    pad,
    box.left,
    box.top,
    width,
    height,
    (side - scale * width) / 2,
    (side - scale * height) / 2,
    scale * width,
    scale * height,
  );
  const pixels = context.getImageData(0, 0, side, side).data;
  return Float32Array.from({ length: side * side }, (_, i) => pixels[4 * i]! / 255);
}
