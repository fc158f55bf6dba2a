import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildChain, walkChain } from '../../lib/abi/chain.js';

const fixed = 24;
/** An element with that id and that many bytes behind its header. */
const element = (id: number, payload: number): Uint8Array => {
  const bytes = new Uint8Array(8 + payload).fill(id & 0xff, 8);
  new DataView(bytes.buffer).setUint16(0, id, true);
  new DataView(bytes.buffer).setUint16(2, 1, true);
  return bytes;
};
const answerWith = (chain: Uint8Array): Uint8Array => {
  const answer = new Uint8Array(fixed + chain.byteLength);
  answer.set(chain, fixed);
  return answer;
};

describe('capability chains', () => {
  it.each([4, 8] as const)('what is built with alignment %i is what is walked', (alignment) => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 0xffff }), fc.integer({ min: 0, max: 40 })), { minLength: 1, maxLength: 12 }),
        (list) => {
          const walked = walkChain(
            answerWith(
              buildChain(
                list.map(([id, payload]) => element(id, payload)),
                fixed,
                alignment,
              ),
            ),
            fixed,
            fixed,
          );
          expect(walked.map(({ id, version }) => [id, version])).toEqual(list.map(([id]) => [id, 1]));
          walked.forEach(({ bytes }, index) => expect(bytes.slice(8, 8 + list[index]![1])).toEqual(element(...list[index]!).slice(8)));
        },
      ),
    );
  });

  it('an offset of 0 is no chain', () => {
    expect(walkChain(new Uint8Array(fixed), fixed, 0)).toEqual([]);
  });

  it('offsets inside the struct or past the answer are a bad answer, with its bytes', () => {
    const answer = answerWith(element(1, 0));
    for (const first of [1, 16, fixed + 1, 4096, 0xffff_fff8]) {
      expect(() => walkChain(answer, fixed, first)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BAD_ANSWER', bytes: answer }));
    }
  });

  it('a cycle is a bad answer', () => {
    const answer = answerWith(buildChain([element(1, 8), element(2, 8)], fixed, 8));
    new DataView(answer.buffer).setUint32(fixed + 16 + 4, fixed, true);
    expect(() => walkChain(answer, fixed, fixed)).toThrow('the chain contains a cycle');
  });

  it('random bytes are a chain or a bad answer, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: fixed, maxLength: 200 }), fc.integer({ min: 0, max: 255 }), (bytes, first) => {
        try {
          expect(walkChain(bytes, fixed, first).length).toBeLessThanOrEqual(bytes.byteLength / 8 + 1);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_VFIO_BAD_ANSWER' });
        }
      }),
    );
  });
});
