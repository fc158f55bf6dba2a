const busyMilliseconds = 10;

/** Turns of the event loop for others, in a loop that is never idle: it asks each time round, and takes one every ten milliseconds. */
export class Turns {
  #last = performance.now();

  get due(): boolean {
    return performance.now() - this.#last >= busyMilliseconds;
  }

  async take(): Promise<void> {
    await new Promise(setImmediate);
    this.#last = performance.now();
  }
}
