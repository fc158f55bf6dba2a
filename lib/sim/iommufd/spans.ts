/** Runs of addresses in sorted intervals, as the kernel's interval_tree_span_iter finds them. */
import { IntervalMap, type Interval } from '../interval-map.js';

/** Joins what overlaps or touches, and cuts off what lies outside `start`…`last`. `intervals` are in order of their starts. */
export function* usedSpans(intervals: Iterable<Interval>, start: bigint, last: bigint): Generator<Interval, void> {
  let run: Interval | undefined;
  for (const interval of intervals) {
    if (interval.last < start || interval.start > last) continue;
    const cut = {
      start: interval.start < start ? start : interval.start,
      last: interval.last > last ? last : interval.last,
    };
    if (run !== undefined && cut.start <= run.last + 1n) {
      if (cut.last > run.last) run = { start: run.start, last: cut.last };
      continue;
    }
    if (run !== undefined) yield run;
    run = cut;
  }
  if (run !== undefined) yield run;
}

/** What of `start`…`last` is in none of them. */
export function* holes(intervals: Iterable<Interval>, start: bigint, last: bigint): Generator<Interval, void> {
  let next = start;
  for (const used of usedSpans(intervals, start, last)) {
    if (used.start > next) yield { start: next, last: used.start - 1n };
    next = used.last + 1n;
  }
  if (next <= last) yield { start: next, last };
}

/** Two sorted runs of intervals as one. */
export function* mergeSorted(first: Iterable<Interval>, second: Iterable<Interval>): Generator<Interval, void> {
  const [left, right] = [first[Symbol.iterator](), second[Symbol.iterator]()];
  let [a, b] = [left.next(), right.next()];
  while (a.done !== true || b.done !== true) {
    if (b.done === true || (a.done !== true && a.value.start <= b.value.start)) {
      yield a.value;
      a = left.next();
    } else {
      yield b.value;
      b = right.next();
    }
  }
}

/** What is in use, in runs without a gap: looking for room costs by the number of gaps, not of what is in use. */
export class Runs {
  readonly #runs = new IntervalMap<Interval>();

  within(start: bigint, last: bigint): Generator<Interval, void> {
    return this.#runs.within(start, last);
  }

  add({ start, last }: Interval): void {
    const [before, after] = [this.#runs.at(start - 1n), this.#runs.at(last + 1n)];
    if (before !== undefined) this.#runs.remove(before);
    if (after !== undefined) this.#runs.remove(after);
    this.#runs.insert({ start: before?.start ?? start, last: after?.last ?? last });
  }

  remove({ start, last }: Interval): void {
    const run = this.#runs.at(start) ?? { start, last };
    this.#runs.remove(run);
    if (run.start < start) this.#runs.insert({ start: run.start, last: start - 1n });
    if (run.last > last) this.#runs.insert({ start: last + 1n, last: run.last });
  }
}
