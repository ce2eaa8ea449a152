/** A file that the reader gave. Its content stays where it is until somebody reads it. */
export interface DroppedFile {
  /** From the dropped folder on: `my-model/onnx/model.onnx`. */
  readonly path: string;
  readonly content: Blob;
}

/** @param path where it lies in what was dropped: a file that was chosen in a folder knows it itself */
export const droppedFile = (file: File, path = file.webkitRelativePath || file.name): DroppedFile => ({
  path,
  content: file,
});
