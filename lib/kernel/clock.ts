/** Milliseconds, by the machine's own clock: a recording replaces the program's. */
export const now: () => number = performance.now.bind(performance);
