/** How long things took, in steps of a sixteenth of a power of two: exact enough for percentiles, and always the same memory. */
export class Latencies {
  readonly #counts = new Uint32Array(64 * 16);
  #total = 0;

  add(milliseconds: number): void {
    const nanoseconds = Math.max(1, milliseconds * 1e6);
    const power = Math.floor(Math.log2(nanoseconds));
    const part = Math.floor((nanoseconds / 2 ** power - 1) * 16);
    this.#counts[power * 16 + part]! += 1;
    this.#total += 1;
  }

  /** Microseconds that this share took at most. */
  percentile(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (const [index, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return (2 ** Math.floor(index / 16) * (1 + ((index % 16) + 1) / 16)) / 1000;
    }
    return NaN;
  }

  /** A line for each power of two that occurred. */
  histogram(width = 40): string {
    const powers = Array.from({ length: 64 }, (_, power) => this.#counts.subarray(power * 16, power * 16 + 16).reduce((a, b) => a + b, 0));
    const most = Math.max(...powers);
    return powers
      .flatMap((count, power) =>
        count === 0 ? [] : [`${(2 ** power / 1000).toFixed(1).padStart(12)} µs  ${'█'.repeat(Math.ceil((width * count) / most))} ${count}`],
      )
      .join('\n');
  }
}
