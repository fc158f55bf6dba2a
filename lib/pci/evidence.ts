/** A file, and what stands in it. */
export interface Evidence {
  readonly file: string;
  readonly value: string;
}
