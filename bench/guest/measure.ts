/** How the programs in the guest measure, as floor.c does, and say it. */

/** Until V8 has compiled what is measured, which takes an emulated processor long; dropped. */
export const warmUpMilliseconds = 4000;
const milliseconds = 500;

/** Prints a figure, in nanoseconds. */
export function print(name: string, nanoseconds: number): void {
  console.log(name, nanoseconds);
}

/** Prints what one turn takes when nothing else wants the processor: of samples of so many turns, the fastest tenth. */
export function measure(name: string, turns: number, sample: () => void): void {
  const samples: number[] = [];
  const warm = performance.now() + warmUpMilliseconds;
  for (let begin = performance.now(); begin < warm + milliseconds; ) {
    sample();
    const end = performance.now();
    if (begin >= warm) samples.push(end - begin);
    begin = end;
  }
  print(name, (1e6 * quantile(samples, 0.1)) / turns);
}

export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? NaN;
}
