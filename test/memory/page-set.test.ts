import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageSet } from '../../lib/memory/page-set.js';

const steps = fc.array(
  fc.record({ adds: fc.boolean(), start: fc.nat({ max: 200 }), count: fc.integer({ min: 1, max: 100 }), far: fc.boolean() }),
  { maxLength: 60 },
);

/** The last pages that there are. */
const far = 2 ** 52 - 300;

describe('PageSet', () => {
  it('has the pages that were added and not deleted', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const [pages, model] = [new PageSet(), new Set<number>()];
        for (const { adds, start, count, far: isFar } of list) {
          const first = isFar ? far + start : start;
          const range = Array.from({ length: count }, (_, index) => first + index);
          if (adds) {
            pages.add(first, count);
            for (const page of range) model.add(page);
          } else {
            expect(pages.delete(first, count)).toBe(range.every((page) => model.has(page)));
            for (const page of range) model.delete(page);
          }
        }
        for (let page = 0; page < 300; page += 1) {
          expect(pages.delete(page, 1)).toBe(model.has(page));
          expect(pages.delete(far + page, 1)).toBe(model.has(far + page));
        }
      }),
    );
  });

  it('deletes from the first page to the last at once', () => {
    const pages = new PageSet();
    for (let page = 0; page < 1000; page += 3) pages.add(page * 1_000_003, 2);
    expect(pages.delete(3 * 1_000_003 + 1, 2 ** 52 - 3 * 1_000_003 - 1)).toBe(false);
    expect([pages.delete(0, 2), pages.delete(3 * 1_000_003, 1), pages.delete(3 * 1_000_003 + 1, 1)]).toEqual([true, true, false]);
    for (let page = 6; page < 1000; page += 3) expect(pages.delete(page * 1_000_003, 1)).toBe(false);
  });
});
