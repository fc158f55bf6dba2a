/** Devices, however they were opened: what they say of themselves, and resets. */
import { VFIO_DEVICE_GET_INFO } from '../../../lib/abi/vfio/device.js';
import { VFIO_DEVICE_IOEVENTFD } from '../../../lib/abi/vfio/ioeventfd.js';
import { VFIO_DEVICE_GET_REGION_INFO } from '../../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET, VFIO_DEVICE_RESET } from '../../../lib/abi/vfio/reset.js';
import { draft } from '../draft.js';
import type { Call, Word } from '../operation.js';
import type { Hardware } from '../places.js';
import { anyFd, regionOffset } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

const isDevice = (file: LiveFile): boolean => file.kind === 'device';
const isReady = (file: LiveFile): boolean => isDevice(file) && file.ready;

const regionIndexes = [0, 0, 0, 1, 2, 3, 5, 6, 7, 7, 8, 9, 10, 0xffff_ffff] as const;

/** Registers that an eventfd may write: nothing comes of it. */
const ioRegisters: Readonly<Partial<Record<Hardware, readonly number[]>>> = {
  edu: [0x00, 0x04, 0x20, 0x24, 0x80, 0x88, 0x90],
  nvme: [0x24, 0x2c, 0x1fff, 0x2000, 0x2410, 0x3ffc],
  e1000e: [0x5200, 0x5204, 0x1_fffc, 0x2_0000],
};

export const deviceRecipes: readonly Recipe[] = [
  on(3, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_INFO, file.ref, { fields: { argsz: random.pick([16, 20, 24, 64]) } }),
  ),
  on(5, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_REGION_INFO, file.ref, {
      fields: { argsz: random.pick([32, 32, 40, 48, 128]), index: random.pick(regionIndexes) },
    }),
  ),
  // Each takes a tenth of a second where the kernel waits for a device to come back.
  on(2, isReady, (file, random, world) =>
    random.chance(world.hardware(file) === 'edu' ? 1 : 0.3) ? { call: 'ioctl', file: file.ref, request: VFIO_DEVICE_RESET.name } : [],
  ),
  on(2, isReady, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, file.ref, { fields: { argsz: random.pick([12, 20, 28, 64]) } }),
  ),
  on(1, isReady, (file, random, world) => draft(random, world, VFIO_DEVICE_PCI_HOT_RESET, file.ref, { fields: { count: 0 }, words: [] })),
  on(2, isReady, hotReset),
  on(3, isReady, ioeventfd),
];

/** With the files of groups: its own, which is enough, or others. */
function hotReset(file: LiveFile, random: Random, world: World): Call {
  const own = world.of('group').find(({ place }) => place === file.place);
  const meant = random.chance(0.5) && own !== undefined;
  const fds = meant
    ? [['s32', own.ref] as const]
    : Array.from(
        { length: random.below(3) },
        (): Word => ['s32', random.chance(0.8) ? (random.pick(world.of('group'))?.ref ?? -1) : anyFd(random, world)],
      );
  return draft(random, world, VFIO_DEVICE_PCI_HOT_RESET, file.ref, { fields: { count: fds.length }, words: fds });
}

function ioeventfd(file: LiveFile, random: Random, world: World): Call {
  const fd = random.chance(0.7) ? (random.pick(world.of('eventfd'))?.ref ?? -1) : random.chance(0.8) ? -1 : anyFd(random, world);
  const known = random.pick(ioRegisters[world.hardware(file)] ?? []);
  const offset =
    known !== undefined && random.chance(0.8)
      ? regionOffset(0, known)
      : regionOffset(random.pick(regionIndexes), 4 * random.below(16) + 0x5000);
  return draft(random, world, VFIO_DEVICE_IOEVENTFD, file.ref, {
    fields: { argsz: random.pick([40, 36]), flags: random.pick([4, 4, 8, 1, 2, 0, 5]), offset, data: random.pick([0, 1, 0x5a]), fd },
  });
}
