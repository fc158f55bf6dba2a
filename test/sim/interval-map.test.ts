import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalMap, type Interval } from '../../lib/sim/interval-map.js';

const top = 0xffff_ffff_ffff_ffffn;
const interval = fc
  .tuple(fc.bigInt({ min: 0n, max: 200n }), fc.bigInt({ min: 0n, max: 20n }))
  .map(([start, size]) => ({ start, last: start + size }));
const step = fc.oneof(
  fc.record({ do: fc.constant('insert' as const), interval }),
  fc.record({ do: fc.constant('remove' as const), interval }),
  fc.record({ do: fc.constant('look' as const), interval }),
);

describe('IntervalMap', () => {
  it('does what a plain list does, whatever is inserted, removed and looked up', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const map = new IntervalMap<Interval>();
        let list: Interval[] = [];
        const overlaps = ({ start, last }: Interval): Interval[] =>
          list.filter((entry) => entry.start <= last && entry.last >= start).sort((a, b) => Number(a.start - b.start));
        for (const { do: action, interval } of steps) {
          const hits = overlaps(interval);
          if (action === 'insert') {
            if (hits.length > 0) expect(() => map.insert(interval)).toThrow(RangeError);
            else {
              map.insert(interval);
              list.push(interval);
            }
          } else if (action === 'remove') {
            for (const hit of hits) map.remove(hit);
            list = list.filter((entry) => !hits.includes(entry));
          } else {
            expect([...map.within(interval.start, interval.last)]).toEqual(hits);
            expect(map.overlapping(interval.start, interval.last)).toBe(hits[0]);
            expect(map.at(interval.start)).toBe(list.find((entry) => entry.start <= interval.start && entry.last >= interval.start));
          }
          expect(map.size).toBe(list.length);
        }
        expect([...map.within(0n, top)]).toEqual(overlaps({ start: 0n, last: top }));
      }),
    );
  });

  it('holds an interval that ends at the very top', () => {
    const map = new IntervalMap<Interval>();
    const last = { start: top - 4095n, last: top };
    map.insert(last);
    expect(map.at(top)).toBe(last);
    expect([...map.within(0n, top)]).toEqual([last]);
  });

  it('goes through entries while they are removed', () => {
    const map = new IntervalMap<Interval>();
    for (let start = 0n; start < 1000n; start += 10n) map.insert({ start, last: start + 4n });
    for (const entry of map.within(0n, top)) map.remove(entry);
    expect(map.size).toBe(0);
  });
});
