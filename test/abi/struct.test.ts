import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import { fd, flexible, struct, u16, u32, u64, u8, type Scalar, type StructType } from '../../lib/abi/struct.js';

const structs = Object.values(abi).filter(
  (value): value is StructType => typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'struct',
);

const values = (field: Scalar): fc.Arbitrary<number | bigint> =>
  ({
    __u8: fc.integer({ min: 0, max: 0xff }),
    __u16: fc.integer({ min: 0, max: 0xffff }),
    __u32: fc.integer({ min: 0, max: 0xffff_ffff }),
    __s32: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    __u64: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  })[field.ctype];

describe('every declared struct', () => {
  it.each(structs.map((type) => [type.name, type] as const))('%s keeps what is written to each field, and only there', (_name, type) => {
    const scalars = type.layout.flatMap(({ name, field }) => (field.kind === 'scalar' ? [[name, field] as const] : []));
    fc.assert(
      fc.property(fc.record(Object.fromEntries(scalars.map(([name, field]) => [name, values(field)]))), (record) => {
        const view = type.create();
        Object.assign(view, record);
        for (const [name] of scalars) expect(view[name]).toBe(record[name]);
        const again = type.view(view.bytes.buffer);
        for (const [name] of scalars) expect(again[name]).toBe(record[name]);
        const used = scalars.reduce((sum, [, field]) => sum + field.size, 0);
        const cleared = type.create();
        Object.assign(cleared, Object.fromEntries(scalars.map(([name, field]) => [name, field.size === 8 ? 0n : 0])));
        expect(cleared.bytes.every((byte: number) => byte === 0)).toBe(true);
        expect(view.bytes.filter((byte: number) => byte !== 0).length).toBeLessThanOrEqual(used);
      }),
    );
  });
});

describe('struct()', () => {
  const inner = struct('inner', { a: u16, b: u64 });
  const outer = struct('outer', { head: u8, inner, count: u32, file: fd, tail: flexible(inner, 'count') });

  it('lays fields out as C does', () => {
    expect([inner.size, inner.alignment, inner.offsetofend('a')]).toEqual([16, 8, 2]);
    expect(outer.layout.map(({ name, offset }) => [name, offset])).toEqual([
      ['head', 0],
      ['inner', 8],
      ['count', 24],
      ['file', 28],
      ['tail', 32],
    ]);
    expect(outer.size).toBe(32);
  });

  it('gives nested structs and as many elements as the count says and the room allows', () => {
    const view = outer.create(2 * inner.size);
    view.inner.b = 7n;
    view.count = 9;
    expect(view.tail.length).toBe(2);
    view.tail[1]!.a = 5;
    expect(view.bytes[8 + 8]).toBe(7);
    expect(view.bytes[32 + 16]).toBe(5);
  });

  it('refuses memory that is too short or misaligned, and fields that are not there', () => {
    expect(() => inner.view(new ArrayBuffer(15))).toThrow('Expected at least 16 bytes for inner but received 15');
    expect(() => inner.view(new ArrayBuffer(32), 4)).toThrow('Expected a multiple of 8 for offset of inner but received 4');
    expect(() => inner.offsetofend('c' as 'a')).toThrow('inner has no field c');
  });

  it('writing a number into a 64-bit field throws by itself', () => {
    expect(() => {
      (inner.create() as { b: unknown }).b = 1;
    }).toThrow(TypeError);
  });
});
