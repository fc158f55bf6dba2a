/** Devices, however they were opened: what they say of themselves, interrupts, reset, features, regions. */
import { MAP_PRIVATE, MAP_SHARED } from '../../../lib/abi/system.js';
import { VFIO_DEVICE_GET_INFO } from '../../../lib/abi/vfio/device.js';
import { VFIO_DEVICE_FEATURE } from '../../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_IOEVENTFD } from '../../../lib/abi/vfio/ioeventfd.js';
import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS } from '../../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO } from '../../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET, VFIO_DEVICE_RESET } from '../../../lib/abi/vfio/reset.js';
import { draft } from '../draft.js';
import type { Call, Value, Width, Word } from '../operation.js';
import { anyFd } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

const isDevice = (file: LiveFile): boolean => file.kind === 'device';
const isReady = (file: LiveFile): boolean => isDevice(file) && file.ready;

const regionIndexes = [0, 0, 0, 1, 2, 5, 6, 7, 7, 8, 9, 0xffff_ffff] as const;
const irqIndexes = [0, 0, 1, 1, 1, 2, 3, 4, 5, 0xffff_ffff] as const;

export const deviceRecipes: readonly Recipe[] = [
  on(3, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_INFO, file.ref, { fields: { argsz: random.pick([16, 20, 24, 64]) } }),
  ),
  on(4, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_REGION_INFO, file.ref, {
      fields: { argsz: random.pick([32, 32, 40, 128]), index: random.pick(regionIndexes) },
    }),
  ),
  on(3, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_IRQ_INFO, file.ref, { fields: { index: random.pick(irqIndexes) } }),
  ),
  on(24, isReady, (file, random, world) => setIrqs(file, random, world)),
  on(2, isDevice, (file, random, world) => setIrqs(file, random, world)),
  on(2, isDevice, (file, random, world) => feature(file, random, world)),
  on(2, isDevice, (file, random) => access(file, random)),
  on(2, isReady, (file) => ({ call: 'ioctl', file: file.ref, request: VFIO_DEVICE_RESET.name })),
  on(2, isReady, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, file.ref, { fields: { argsz: random.pick([12, 20, 28, 64]) } }),
  ),
  on(1, isReady, (file, random, world) => {
    const fds: Word[] = Array.from({ length: random.below(3) }, () => [
      's32',
      random.chance(0.8) ? (random.pick(world.of('group'))?.ref ?? -1) : anyFd(random, world),
    ]);
    return draft(random, world, VFIO_DEVICE_PCI_HOT_RESET, file.ref, { fields: { count: fds.length }, words: fds });
  }),
  on(3, isReady, (file, random, world) => ioeventfd(file, random, world)),
  on(5, isReady, (file, random, world) => feature(file, random, world)),
  on(16, isReady, (file, random) => access(file, random)),
  on(3, isDevice, (file, random) => map(file, random)),
  { weight: 6, make: (random, world) => touch(random, world) },
];

/** Whole arguments mostly: of all data types and actions on all ranges, few are. */
function setIrqs(file: LiveFile, random: Random, world: World): readonly Call[] {
  const eventfds = world.of('eventfd');
  const prepared: Call[] = eventfds.length < 2 && random.chance(0.7) ? [{ call: 'eventfd', initial: random.pick([0, 0, 3]) }] : [];
  const usual = random.chance(0.7);
  const data = usual ? random.pick([1, 2, 4, 4, 4]) : random.pick([1, 2, 4, 0, 6]);
  const action = usual ? random.pick([0x20, 0x20, 0x20, 8, 0x10]) : random.pick([0x20, 8, 0x10, 0x28, 0]);
  const start = random.chance(0.9) ? 0 : random.pick([1, 2, 0xffff_ffff]);
  const count = random.chance(0.85) ? 1 : random.pick([0, 0, 2, 3, 0xffff_ffff]);
  const length = random.chance(0.95) ? Math.min(count, 3) : random.below(3);
  const words = Array.from({ length: data === 1 ? 0 : length }, (): Word =>
    data === 2
      ? ['u8', random.below(3)]
      : ['s32', random.chance(0.8) ? (random.pick(eventfds)?.ref ?? -1) : random.chance(0.7) ? -1 : anyFd(random, world)],
  );
  const index = usual ? random.pick([0, 0, 1, 1, 1, 4]) : random.pick(irqIndexes);
  const fields = { flags: data | action, index, start, count };
  return [...prepared, draft(random, world, VFIO_DEVICE_SET_IRQS, file.ref, { fields, words })];
}

function ioeventfd(file: LiveFile, random: Random, world: World): Call {
  const fd = random.chance(0.7) ? (random.pick(world.of('eventfd'))?.ref ?? -1) : random.chance(0.8) ? -1 : anyFd(random, world);
  const offset = random.chance(0.8)
    ? regionOffset(0, random.pick(quietRegisters))
    : regionOffset(random.pick(regionIndexes), random.below(64));
  return draft(random, world, VFIO_DEVICE_IOEVENTFD, file.ref, {
    fields: { argsz: random.pick([40, 36]), flags: random.pick([4, 4, 8, 1, 2, 0, 5]), offset, data: random.pick([0, 1, 0x5a]), fd },
  });
}

function feature(file: LiveFile, random: Random, world: World): Call {
  const number = random.below(15);
  const flags = number | (random.pick([1, 2, 3, 4, 5, 6, 0]) << 16);
  const payloads: Readonly<Record<number, readonly Word[]>> = {
    0: [
      ['u64', 0x11],
      ['u64', 0x22],
    ],
    1: [['u64', 0]],
    2: [
      ['u32', random.below(9)],
      ['s32', -1],
    ],
    4: [
      ['s32', random.pick(world.of('eventfd'))?.ref ?? -1],
      ['u32', 0],
    ],
    6: [
      ['u64', '0x1000'],
      ['u32', 1],
      ['u32', 0],
      ['u64', 'scratch+0x0'],
    ],
    8: [
      ['u64', '0x0'],
      ['u64', '0x4000'],
      ['u64', '0x1000'],
      ['u64', 'scratch+0x0'],
    ],
    11: [
      ['u32', random.pick([0, 0, 1, 7, 9])],
      ['u32', random.pick([2, 0, 0x80000])],
      ['u32', 0],
      ['u32', random.pick([1, 1, 0, 2])],
      ['u64', random.pick([0, 0x1000, 0x800])],
      ['u64', random.pick([0x1000, 0x2000, 0, 0x20_0000])],
      ['u64', 0x4000],
      ['u64', 0x1000],
    ],
  };
  return draft(random, world, VFIO_DEVICE_FEATURE, file.ref, { fields: { flags }, words: payloads[number] ?? [] });
}

/**
 * Registers of edu whose answer does not depend on time: all but those that start the factorial and the transfer. The
 * interrupt ones raise and acknowledge at once.
 */
const quietRegisters = [0x00, 0x04, 0x20, 0x24, 0x80, 0x88, 0x90] as const;
const interruptRegisters = [0x60, 0x64] as const;

/** No region is as far as 2^63. */
const regionOffset = (index: number, offset: number): Value => `0x${((BigInt(Math.min(index, 12)) << 40n) + BigInt(offset)).toString(16)}`;

function access(file: LiveFile, random: Random): Call {
  if (random.chance(0.7)) {
    const raising = random.chance(0.3);
    const at = raising ? random.pick(interruptRegisters) : random.chance(0.85) ? random.pick(quietRegisters) : oddOffset(random);
    const length = random.chance(0.8) ? 4 : random.pick([0, 1, 2, 3, 5, 8, 8, 12]);
    if (length > 4 && !raising && at < 0x80) return { call: 'pread', file: file.ref, offset: regionOffset(0, at), length };
    const written = raising ? random.pick([1, 1, 2, 0x100, 0xff]) : random.below(256);
    if (raising || random.chance(0.4))
      return pwrite(
        file,
        0,
        at,
        Array.from({ length: Math.min(length, 8) }, (_, index) => (index < 2 ? (written >> (8 * index)) & 0xff : 0)),
      );
    return { call: 'pread', file: file.ref, offset: regionOffset(0, at), length };
  }
  const index = random.pick(regionIndexes);
  const offset = random.chance(0.5) ? 0 : oddOffset(random);
  const length = random.pick([1, 2, 4, 8, 3, 0, 16]);
  // Nor is a write so long that it comes to what starts something.
  if (index === 0 && length > 4) return { call: 'pread', file: file.ref, offset: regionOffset(0, offset), length };
  // Of configuration space only what identifies the device.
  if (index === 7)
    return {
      call: 'pread',
      file: file.ref,
      offset: regionOffset(7, random.pick([0, 0, 1, 2, 3, 8, 0x2c])),
      length: random.pick([1, 2, 4]),
    };
  if (index !== 0xffff_ffff && random.chance(0.3)) return pwrite(file, index, offset, Array<number>(length).fill(0));
  return { call: 'pread', file: file.ref, offset: regionOffset(index, offset), length };
}

const oddOffset = (random: Random): number =>
  random.pick([0x1, 0x2, 0x3, 0x6, 0x10, 0x40, 0x200, 0x4_0000, 0xf_fffe, 0xf_fffc, 0x10_0000, 0x10_0001, 0x1000_0000]);

const pwrite = (file: LiveFile, index: number, at: number, bytes: readonly number[]): Call => ({
  call: 'pwrite',
  file: file.ref,
  offset: regionOffset(index, at),
  bytes,
});

function map(file: LiveFile, random: Random): Call {
  return {
    call: 'mmap',
    file: file.ref,
    length: random.pick([0x1000, 0x1000, 0x2000, 0x10_0000, 0x20_0000, 0x800]),
    protection: random.pick([3, 3, 1, 2, 0]),
    flags: random.chance(0.9) ? MAP_SHARED : MAP_PRIVATE,
    offset: regionOffset(random.chance(0.7) ? 0 : random.pick([1, 6, 7, 8, 9]), random.pick([0, 0, 0x1000, 0xf_f000, 0x10_0000])),
  };
}

/** A register by a mapping. */
function touch(random: Random, world: World): readonly Call[] {
  const mapping = random.pick(world.mappings);
  if (mapping === undefined) return [];
  if (random.chance(0.15)) return [{ call: 'munmap', mapping: mapping.ref }];
  const width: Width = random.chance(0.75) ? 4 : random.pick([1, 2, 8] as const);
  const known = random.chance(0.2) ? interruptRegisters : quietRegisters;
  const offset = Math.floor(random.pick(known) / width) * width;
  if (random.chance(0.6)) return [{ call: 'load', mapping: mapping.ref, offset, width }];
  return [{ call: 'store', mapping: mapping.ref, offset, width, value: random.pick([0, 1, 0x5a, 0x1234_5678]) }];
}
