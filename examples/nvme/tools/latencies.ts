const stepsOfPower = 16;

/** How long things took, in steps of a sixteenth of a power of two: exact enough for percentiles, and always the same memory. */
export class Latencies {
  readonly #counts = new Uint32Array(64 * stepsOfPower);
  #total = 0;
  // A number as the processor has it: behind the sign its power of two, whose excess is 1023, and then its first four digits.
  readonly #nanoseconds = new Float64Array(1);
  readonly #words = new Uint32Array(this.#nanoseconds.buffer);

  add(milliseconds: number): void {
    this.#nanoseconds[0] = Math.max(1, milliseconds * 1e6);
    this.#counts[(this.#words[1]! >>> 16) - 1023 * stepsOfPower]! += 1;
    this.#total += 1;
  }

  /** Microseconds that this share took at most. */
  percentile(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (const [index, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return (2 ** Math.floor(index / stepsOfPower) * (1 + ((index % stepsOfPower) + 1) / stepsOfPower)) / 1000;
    }
    return NaN;
  }

  /** A line for each power of two that occurred. */
  histogram(width = 40): string {
    const powers = Array.from({ length: 64 }, (_, power) =>
      this.#counts.subarray(power * stepsOfPower, (power + 1) * stepsOfPower).reduce((a, b) => a + b, 0),
    );
    const most = Math.max(...powers);
    return powers
      .flatMap((count, power) =>
        count === 0 ? [] : [`${(2 ** power / 1000).toFixed(1).padStart(12)} µs  ${'█'.repeat(Math.ceil((width * count) / most))} ${count}`],
      )
      .join('\n');
  }
}
