import type { Clock } from '../../clock.js';

/** Something that happens later, unless it is stopped or begun anew before. */
export class Timer {
  readonly #clock: () => Clock;
  readonly #action: () => void;
  #begun = 0;
  running = false;

  constructor(clock: () => Clock, action: () => void) {
    this.#clock = clock;
    this.#action = action;
  }

  start(nanoseconds: number): void {
    this.running = true;
    const begun = (this.#begun += 1);
    this.#clock().after(nanoseconds / 1e6, () => {
      if (!this.running || begun !== this.#begun) return;
      this.running = false;
      this.#action();
    });
  }

  stop(): void {
    this.running = false;
  }
}
