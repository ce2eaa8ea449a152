/** Fraction of rows whose largest logit is that of their label, of ten. */
export function accuracyOf(logits: ArrayLike<number>, labels: Uint8Array): number {
  let right = 0;
  labels.forEach((label, row) => {
    let best = 0;
    for (let c = 1; c < 10; c++) if (logits[row * 10 + c]! > logits[row * 10 + best]!) best = c;
    if (best === label) right += 1;
  });
  return right / labels.length;
}
