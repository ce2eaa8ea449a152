/**
 * One example: a text, a pair of texts, an image (as the library's processors take it: a RawImage, a path or a URL), or one of them with its label.
 */
export type Example = string | readonly [string, string] | LabelledExample | ImageExample;

/** An example with the class that it belongs to. */
export interface LabelledExample {
  readonly text: string | readonly [string, string];
  /** Index of the class (as text too), or its name in the model's config. */
  readonly label?: number | string;
}

/** An image, perhaps with its class. */
export interface ImageExample {
  readonly image: unknown;
  readonly label?: number | string;
}
