import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { array, bigEndian, flexible, s32, struct, u16, u32, u64, u8, volatile } from '../../lib/abi/struct.js';

const descriptor = struct('descriptor', { address: u64, length: u16, flags: u8, status: volatile(u8), delta: s32 });
const header = struct('header', { long: bigEndian(u64), word: bigEndian(u32), short: bigEndian(u16), kind: u16 });
const words = struct('words', { a: volatile(u64), b: volatile(u32), c: volatile(s32), d: volatile(u16), e: volatile(u8) });

const word64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const unsigned = (bits: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** bits - 1 });
const signed32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });

describe('an array of structs', () => {
  it('reads and writes each of them where a DataView does, and no other', () => {
    const values = fc.record({ address: word64, length: unsigned(16), flags: unsigned(8), status: unsigned(8), delta: signed32 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 9 }), values)), fc.constantFrom(0, 8, 24), (writes, offset) => {
        const [ours, byHand] = [new ArrayBuffer(offset + 160 + 8), new ArrayBuffer(offset + 160 + 8)];
        const ring = descriptor.array(ours, offset, 10);
        const view = new DataView(byHand, offset);
        for (const [index, { address, length, flags, status, delta }] of writes) {
          Object.assign(ring.at(index), { address, length, flags, status, delta });
          view.setBigUint64(index * 16, address, true);
          view.setUint16(index * 16 + 8, length, true);
          view.setUint8(index * 16 + 10, flags);
          view.setUint8(index * 16 + 11, status);
          view.setInt32(index * 16 + 12, delta, true);
        }
        expect(new Uint8Array(ours)).toEqual(new Uint8Array(byHand));
        for (let index = 0; index < 10; index += 1) {
          const { address, length, flags, status, delta } = ring.at(index);
          expect([address, length, flags, status, delta]).toEqual([
            view.getBigUint64(index * 16, true),
            view.getUint16(index * 16 + 8, true),
            view.getUint8(index * 16 + 10),
            view.getUint8(index * 16 + 11),
            view.getInt32(index * 16 + 12, true),
          ]);
        }
      }),
    );
  });

  it('words are in the order that is declared', () => {
    fc.assert(
      fc.property(word64, unsigned(32), unsigned(16), fc.nat({ max: 2 }), (long, word, short, index) => {
        const memory = new ArrayBuffer(48);
        const headers = header.array(memory);
        Object.assign(headers.at(index), { long, word, short, kind: short });
        const view = new DataView(memory, index * 16);
        expect([view.getBigUint64(0), view.getUint32(8), view.getUint16(12), view.getUint16(14, true)]).toEqual([long, word, short, short]);
        expect([headers.at(index).long, headers.at(index).word, headers.at(index).short]).toEqual([long, word, short]);
      }),
    );
  });

  it('volatile words are as others, alone and in an array', () => {
    fc.assert(
      fc.property(word64, unsigned(32), signed32, unsigned(16), unsigned(8), (a, b, c, d, e) => {
        for (const one of [words.create(), words.array(new ArrayBuffer(96)).at(3)]) {
          Object.assign(one, { a, b, c, d, e });
          expect([one.a, one.b, one.c, one.d, one.e]).toEqual([a, b, c, d, e]);
        }
      }),
    );
  });

  it('a volatile word is read each time, as another thread has it', () => {
    const memory = new SharedArrayBuffer(32);
    const [mine, theirs] = [descriptor.array(memory), descriptor.array(memory)];
    theirs.at(1).status = 7;
    expect(mine.at(1).status).toBe(7);
  });

  it('at() gives the same object each time, moved', () => {
    const ring = descriptor.array(new ArrayBuffer(64));
    const first = ring.at(0);
    ring.at(1).length = 5;
    expect(first.length).toBe(5);
    expect(ring.at(0).length).toBe(0);
    expect(ring.bytes.byteLength).toBe(64);
  });

  it('a struct or an array in one is that of the place', () => {
    const nested = struct('nested', { head: u32, inner: struct('inner', { a: u16, b: u16 }), tail: array(u16, 4) });
    const ring = nested.array(new ArrayBuffer(48));
    ring.at(2).inner.b = 9;
    ring.at(2).tail[3] = 8;
    expect(new Uint16Array(ring.bytes.buffer)[16 + 3]).toBe(9);
    expect(new Uint16Array(ring.bytes.buffer)[16 + 7]).toBe(8);
    expect([ring.at(1).inner.b, ring.at(1).tail[3], ring.at(2).inner.b]).toEqual([0, 0, 9]);
  });

  it('refuses memory that does not hold it, and places that are not in it', () => {
    const memory = new ArrayBuffer(40);
    expect(() => descriptor.array(memory, 4)).toThrow('Expected a multiple of 8 for offset of descriptor but received 4');
    expect(() => descriptor.array(memory, -8)).toThrow('Expected a multiple of 8 for offset of descriptor but received -8');
    expect(() => descriptor.array(memory, 8, 3)).toThrow('Expected an integer from 1 to 2 for count of descriptor but received 3');
    expect(() => descriptor.array(new ArrayBuffer(8))).toThrow(RangeError);
    for (const count of [0, 1.5, NaN, -1]) expect(() => descriptor.array(memory, 0, count)).toThrow(RangeError);
    const ring = descriptor.array(memory);
    for (const index of [2, -1, 0.5, NaN, Infinity, 2 ** 32, 2 ** 53])
      expect(() => ring.at(index)).toThrow(`Expected an integer from 0 to 1 for index of descriptor but received ${index}`);
  });

  it('has no elements in the flexible arrays of its structs', () => {
    const inner = struct('inner', { a: u16 });
    for (const list of [flexible(u32, 'count'), flexible(inner, 'count')]) {
      const many = struct('many', { count: u32, list }).array(new ArrayBuffer(16));
      many.at(1).count = 2;
      expect([many.at(1).count, many.at(1).list.length, many.at(3).count]).toEqual([2, 0, 0]);
    }
  });

  it('once the memory is detached every access throws', () => {
    const memory = new ArrayBuffer(48);
    const [ring, headers, volatiles] = [descriptor.array(memory), header.array(memory), words.array(memory)];
    const element = ring.at(1);
    structuredClone(memory, { transfer: [memory] });
    expect(() => ring.at(1)).toThrow('The memory of the struct is detached: its buffer was closed or transferred');
    for (const [struct, fields] of [
      [element, ['address', 'length', 'flags', 'status', 'delta']],
      [headers, ['long', 'word', 'short', 'kind']],
      [volatiles, ['a', 'b', 'c', 'd', 'e']],
    ] as const) {
      for (const field of fields) {
        const view = struct as unknown as Record<string, unknown>;
        expect(() => view[field], field).toThrow(TypeError);
        expect(() => (view[field] = /address|long|^a$/.test(field) ? 1n : 1), field).toThrow(/detached/);
      }
    }
    expect(() => descriptor.array(memory)).toThrow();
  });
});

describe('words with an order, or volatile', () => {
  it('cannot be both', () => {
    expect(() => struct('both', { word: volatile(bigEndian(u32)) })).toThrow('A word cannot be volatile and big-endian');
  });

  it('are no elements of arrays, which are typed arrays', () => {
    expect(() => array(bigEndian(u16), 4)).toThrow(TypeError);
    expect(() => flexible(volatile(u16))).toThrow(TypeError);
  });

  it('structs have no fields named as what they have beside them', () => {
    for (const name of ['bytes', 'at']) expect(() => struct('taken', { [name]: u8 })).toThrow(`taken cannot have a field named ${name}`);
  });
});
