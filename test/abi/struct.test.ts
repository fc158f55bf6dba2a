import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import { fd, flexible, sharing, struct, u16, u32, u64, u8, type Scalar, type StructType } from '../../lib/abi/struct.js';

const structs = Object.values(abi).filter(
  (value): value is StructType => typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'struct',
);

const number = (field: Scalar): fc.Arbitrary<number | bigint> =>
  ({
    __u8: fc.integer({ min: 0, max: 0xff }),
    __u16: fc.integer({ min: 0, max: 0xffff }),
    __u32: fc.integer({ min: 0, max: 0xffff_ffff }),
    __s32: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    __u64: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  })[field.ctype];

/** A value as data: numbers, lists of them, and records of those for structs. */
type Data = number | bigint | Data[] | { [name: string]: Data };

const list = (field: Scalar | StructType, minLength: number, maxLength: number): fc.Arbitrary<Data[]> =>
  fc.array<Data>(field.kind === 'struct' ? record(field) : number(field), { minLength, maxLength });

/** Any values for a struct's fields; of an anonymous union, one member. */
function record(type: StructType): fc.Arbitrary<Record<string, Data>> {
  const unions = new Map<string, string[]>();
  for (const { name, field } of type.layout) {
    const first = field.sharing ?? name;
    unions.set(first, [...(unions.get(first) ?? []), name]);
  }
  return fc.tuple(...[...unions.values()].map((members) => fc.constantFrom(...members))).chain((chosen) =>
    fc.record(
      Object.fromEntries(
        type.layout
          .filter(({ name }) => chosen.includes(name))
          .map(({ name, field }): [string, fc.Arbitrary<Data>] => {
            if (field.kind === 'scalar') return [name, number(field)];
            if (field.kind === 'struct') return [name, record(field)];
            if (field.kind === 'array') return [name, list(field.element, field.length, field.length)];
            return [name, list(field.element, 0, 9)];
          }),
      ),
    ),
  );
}

/** Room for the record's tail, in bytes behind the struct. */
function tailBytes(type: StructType, values: Record<string, Data>): number {
  const tail = type.layout.at(-1);
  if (tail?.field.kind !== 'flexible') return 0;
  return Math.max(0, (values[tail.name] as Data[]).length * tail.field.element.size - (type.size - tail.offset));
}

type Fields = Record<string, unknown>;

function encode(type: StructType, view: Fields, values: Record<string, Data>): void {
  for (const { name, field } of type.layout) {
    const value = values[name];
    if (value === undefined) continue;
    if (field.kind === 'scalar') view[name] = value;
    else if (field.kind === 'struct') encode(field, view[name] as Fields, value as Record<string, Data>);
    else {
      const elements = value as Data[];
      if (field.kind === 'flexible' && field.count !== undefined) view[field.count] = elements.length;
      const target = view[name] as { [index: number]: unknown };
      elements.forEach((element, index) => {
        if (field.element.kind === 'struct') encode(field.element, target[index] as Fields, element as Record<string, Data>);
        else target[index] = element;
      });
    }
  }
}

/** What the view says of the fields the record has. */
function decode(type: StructType, view: Fields, values: Record<string, Data>): Record<string, Data> {
  return Object.fromEntries(
    type.layout.flatMap(({ name, field }): [string, Data][] => {
      const value = values[name];
      if (value === undefined) return [];
      const found = view[name];
      if (field.kind === 'scalar') return [[name, found as Data]];
      if (field.kind === 'struct') return [[name, decode(field, found as Fields, value as Record<string, Data>)]];
      const elements = Array.from(found as ArrayLike<Data>);
      const { element } = field;
      if (element.kind === 'scalar') return [[name, elements]];
      return [[name, elements.map((part, index) => decode(element, part as never, (value as never)[index] ?? {}))]];
    }),
  );
}

/** What the field that counts a tail holds is decided by the tail. */
function withCounts(type: StructType, values: Record<string, Data>): Record<string, Data> {
  const tail = type.layout.at(-1);
  if (tail?.field.kind !== 'flexible' || tail.field.count === undefined) return values;
  return { ...values, [tail.field.count]: (values[tail.name] as Data[]).length };
}

describe('every declared struct', () => {
  it('there are many', () => expect(structs.length).toBeGreaterThan(45));

  it.each(structs.map((type) => [type.name, type] as const))('%s gives back what was put in, tail and unions included', (_name, type) => {
    fc.assert(
      fc.property(record(type), (values) => {
        const view = type.create(tailBytes(type, values));
        encode(type, view as Fields, values);
        const wanted = withCounts(type, values);
        const trailing = type.layout.at(-1);
        const read = decode(type, type.copy(view.bytes) as Fields, wanted);
        // A tail without a count goes to the end of the memory, which is never shorter than the struct.
        if (trailing?.field.kind === 'flexible' && trailing.field.count === undefined) {
          const length = (values[trailing.name] as Data[]).length;
          read[trailing.name] = (read[trailing.name] as Data[]).slice(0, length);
        }
        expect(read).toEqual(wanted);
      }),
    );
  });

  it.each(structs.map((type) => [type.name, type] as const))('%s of any bytes is a value, or an error that says why', (_name, type) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: type.size + 64 }), (bytes) => {
        if (bytes.length < type.size) {
          expect(() => type.copy(bytes)).toThrow(`Expected at least ${type.size} bytes for ${type.name} but received ${bytes.length}`);
          return;
        }
        const view = type.copy(bytes) as Fields;
        for (const { name, field } of type.layout) {
          const value = view[name];
          if (field.kind === 'flexible')
            expect((value as ArrayLike<unknown>).length * field.element.size).toBeLessThanOrEqual(bytes.length);
          else expect(value).toBeDefined();
        }
      }),
    );
  });

  it.each(structs.map((type) => [type.name, type] as const))('%s writes each scalar where it lies, and nowhere else', (_name, type) => {
    for (const { name, offset, field } of type.layout) {
      if (field.kind !== 'scalar') continue;
      const view = type.create();
      (view as Fields)[name] = field.ctype === '__u64' ? 0xffff_ffff_ffff_ffffn : field.ctype === '__s32' ? -1 : 2 ** (8 * field.size) - 1;
      const set = [...view.bytes].flatMap((byte, index) => (byte === 0 ? [] : [index]));
      expect(set).toEqual(Array.from({ length: field.size }, (_, index) => offset + index));
    }
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

  it('puts the members of a union in one place, as large as the largest', () => {
    const either = struct('either', { kind: u64, small: u16, large: sharing('small', inner), after: u8 });
    expect(either.layout.map(({ name, offset }) => [name, offset])).toEqual([
      ['kind', 0],
      ['small', 8],
      ['large', 8],
      ['after', 24],
    ]);
    expect(() => struct('askew', { kind: u32, small: u16, large: sharing('small', inner) })).toThrow('cannot lie where small does');
  });

  it('writing a number into a 64-bit field throws by itself', () => {
    expect(() => {
      (inner.create() as { b: unknown }).b = 1;
    }).toThrow(TypeError);
  });
});
