/** What a program reads the time from: `performance.now()`, `Date.now()`. */
export type ClockName = 'now' | 'date';

/** Reads a clock; `real` is what the machine's own says. */
export type ReadClock = (name: ClockName, real: () => number) => number;

/** From now on, this thread's clocks are read by `read`. */
export function replaceClocks(read: ReadClock): void {
  const now = performance.now.bind(performance);
  const date = Date.now.bind(Date);
  performance.now = () => read('now', now);
  Date.now = () => read('date', date);
}
