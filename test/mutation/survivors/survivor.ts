/** A deleted check that no test can notice, and why. */
export interface Survivor {
  readonly file: string;
  /** The condition, as it is written. */
  readonly code: string;
  readonly replacement: string;
  readonly reason: string;
}

export const compiler = 'the compiler refuses a function that ends without an answer';
export const written =
  'what was read there can be written there: memory that can only be read holds zeros, and a length of 0 is refused before';
