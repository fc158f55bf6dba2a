/** Seconds as programs get them, in whole microseconds: below these the clock says nothing. */
export function roundSeconds(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6;
}
