/**
 * A struct that is kept to be used again by each call. Whoever comes while it is in use gets one of their own: what a traced
 * call is told to may itself map memory. One that is not given back, because the call threw, is made anew.
 */
export class Spare<T> {
  readonly #make: () => T;
  #kept: T | undefined;

  constructor(make: () => T) {
    this.#make = make;
  }

  take(): T {
    const kept = this.#kept ?? this.#make();
    this.#kept = undefined;
    return kept;
  }

  giveBack(used: T): void {
    this.#kept = used;
  }
}
