/** A kernel whose answers are not what its interface promises: chains with loops, offsets outside, lengths of nothing. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BadAnswerError, Container, openDevice } from '../../lib/index.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';

interface Change {
  /** Of the answers, which. */
  readonly nth: number;
  /** Which word of it, and what it is then. */
  readonly word: number;
  readonly value: number;
}

/** The kernel, with words of its answers changed. */
function lying(kernel: Kernel, changes: readonly Change[]): Kernel {
  let answers = 0;
  const ioctl: Kernel['ioctl'] = (fd, request, argument) => {
    const result = kernel.ioctl(fd, request, argument);
    if (!(argument instanceof Uint8Array)) return result;
    answers += 1;
    for (const { nth, word, value } of changes) {
      const at = (word * 4) % argument.byteLength;
      if (nth === answers && at + 4 <= argument.byteLength) new DataView(argument.buffer, argument.byteOffset).setUint32(at, value, true);
    }
    return result;
  };
  return new Proxy(kernel, {
    get(target, name) {
      const value: unknown = name === 'ioctl' ? ioctl : Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...given: unknown[]) => unknown).bind(target) : value;
    },
  });
}

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 4, 8, 0x18, 0x20, 0x28, 0xffff_fff8, 0xffff_ffff),
  fc.nat({ max: 4096 }),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const changes = fc.array(fc.record({ nth: fc.integer({ min: 1, max: 16 }), word: fc.nat({ max: 40 }), value: word }), {
  minLength: 1,
  maxLength: 4,
});

it('is told of in an error, and nothing else comes of it', () => {
  let refused = 0;
  fc.assert(
    fc.property(changes, fc.constantFrom('node' as const, 'group' as const), (lies, by) => {
      const machine = new Machine({ devices: [{ model: new Edu() }] });
      const kernel = lying(machine.kernel, lies);
      try {
        const { device, dma } = openDevice(kernel, '0000:00:03.0', { by });
        for (let index = 0; index < Math.min(device.info.regions, 9); index += 1) void device.region(index).info;
        for (let index = 0; index < Math.min(device.info.interrupts, 5); index += 1) void device.interrupt(index).info;
        if (dma instanceof Container) dma.info();
        dma.ranges();
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect((error as { code?: string }).code ?? error, String(error)).toMatch(/^(E[A-Z]+|ERR_VFIO_[A-Z_]+)$/);
        refused += 1;
      }
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(50);
});

it('is refused where it asks for more room than any answer has', () => {
  const machine = new Machine({ devices: [{ model: new Edu() }] });
  const kernel = lying(
    machine.kernel,
    Array.from({ length: 16 }, (_, nth) => ({ nth, word: 0, value: 0xffff_ffff })),
  );
  expect(() => openDevice(kernel, '0000:00:03.0', { by: 'node' })).toThrow(BadAnswerError);
});
