/** Rings of descriptors: what is in use, where it wraps, and who is done with what. */
import { afterEach, expect, it } from 'vitest';
import fc from 'fast-check';
import { struct, u16, u64, volatile } from '../../lib/abi/index.js';
import { DescriptorRing } from '../../lib/driver/index.js';
import { openDevice, type AddressSpace, type OpenDevice } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

function space(): AddressSpace {
  const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
  const opened = openDevice(kernel, '0000:00:03.0');
  closing.push(opened);
  return opened.dma;
}

const descriptor = struct('descriptor', { address: u64, length: u16, status: volatile(u16) });

it('holds one less than it has places, in the memory that the device sees', () => {
  const ring = DescriptorRing.allocate(space(), descriptor, 4);
  expect([ring.count, ring.free, ring.used]).toEqual([4, 3, 0]);
  for (const length of [1, 2, 3]) {
    ring.next().length = length;
    ring.push();
  }
  expect([ring.head, ring.tail, ring.free, ring.used]).toEqual([0, 3, 0, 3]);
  expect(Array.from({ length: 4 }, (_, place) => new DataView(ring.buffer.memory).getUint16(16 * place + 8, true))).toEqual([1, 2, 3, 0]);
  expect(ring.oldest().length).toBe(1);
  ring.shift();
  expect([ring.oldest().length, ring.at(2).length, ring.head, ring.free, ring.laps]).toEqual([2, 3, 1, 1, 0]);
  expect(ring.iova).toBe(ring.buffer.iova);
  ring.shift(2);
  expect([ring.head, ring.used, ring.laps]).toEqual([3, 0, 0]);
  ring.push(3);
  ring.shift(3);
  expect([ring.head, ring.tail, ring.used, ring.laps]).toEqual([2, 2, 0, 1]);
});

it('is a queue, whatever is pushed and shifted', () => {
  const dma = space();
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 9 }), fc.array(fc.boolean(), { maxLength: 100 }), (count, pushes) => {
      const ring = DescriptorRing.allocate(dma, descriptor, count);
      const model: number[] = [];
      let [pushed, shifted] = [0, 0];
      for (const push of pushes) {
        if (push && ring.free > 0) {
          ring.next().length = pushed;
          ring.push();
          model.push(pushed++);
        } else if (!push && ring.used > 0) {
          expect(ring.oldest().length).toBe(model.shift());
          ring.shift();
          shifted += 1;
        }
        expect([ring.used, ring.free]).toEqual([model.length, count - 1 - model.length]);
        expect([ring.tail, ring.head, ring.laps]).toEqual([pushed % count, shifted % count, Math.floor(shifted / count)]);
      }
      ring.buffer.close();
    }),
  );
});

it('says what it cannot be', () => {
  expect(() => DescriptorRing.allocate(space(), descriptor, 1)).toThrow('Expected an integer from 2 on for count but received 1');
  expect(() => DescriptorRing.allocate(space(), descriptor, 4).at(4)).toThrow(RangeError);
});

it('is over memory that there is already, where that has room', () => {
  const buffer = space().allocate(4096);
  new DataView(buffer.memory).setUint16(16 + 8, 5, true);
  const ring = DescriptorRing.over(buffer, descriptor, 256);
  expect([ring.count, ring.used, ring.iova, ring.at(1).length]).toEqual([256, 0, buffer.iova, 5]);
  expect(() => DescriptorRing.over(buffer, descriptor, 257)).toThrow(
    'Expected at most the 256 that the buffer has room for for count but received 257',
  );
  for (const count of [1, 2.5, NaN]) expect(() => DescriptorRing.over(buffer, descriptor, count)).toThrow('an integer from 2 on for count');
});
