// What is random, and the same for the same seed.

/** Mulberry32. */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. */
  share() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to `end`. */
  below(end) {
    return Math.floor(this.share() * end);
  }

  chance(share) {
    return this.share() < share;
  }

  pick(...choices) {
    return choices[this.below(choices.length)];
  }

  /** What one of the functions makes. */
  make(...makers) {
    return this.pick(...makers)();
  }
}
