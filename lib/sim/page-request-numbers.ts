/** A page request group's number has 9 bits on PCI Express. */
const count = 512;

/** The numbers that groups of page requests have while they wait for an answer: one after the other, over and over. */
export class PageRequestNumbers {
  readonly #waiting = new Set<number>();
  #next = 0;

  /** The next that is free; undefined when so many wait. */
  take(): number | undefined {
    if (this.#waiting.size === count) return undefined;
    while (this.#waiting.has(this.#next)) this.#next = (this.#next + 1) % count;
    const number = this.#next;
    this.#next = (number + 1) % count;
    this.#waiting.add(number);
    return number;
  }

  give(number: number): void {
    this.#waiting.delete(number);
  }
}
