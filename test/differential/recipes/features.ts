/** VFIO_DEVICE_FEATURE, and the files that features give. */
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
} from '../../../lib/abi/vfio/feature.js';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
} from '../../../lib/abi/vfio/dma-logging.js';
import {
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_MIG_GET_PRECOPY_INFO,
} from '../../../lib/abi/vfio/migration.js';
import { draft } from '../draft.js';
import type { Call, Ioctl, Word } from '../operation.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

/** Features are numbered from 0; the last few are not there yet. */
const numbers = 15;

const [get, set, probe] = [VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE];

function payload(feature: number, random: Random, world: World): readonly Word[] {
  switch (feature) {
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return [
        ['u64', 0x11],
        ['u64', 0x22],
      ];
    case VFIO_DEVICE_FEATURE_MIGRATION:
    case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
      return [['u64', 0]];
    case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
      return [
        ['u32', random.below(9)],
        ['s32', -1, 'data_fd'],
      ];
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return [
        ['s32', random.pick(world.of('eventfd'))?.ref ?? -1],
        ['u32', 0],
      ];
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
      return [
        ['u64', random.pick(['0x1000', '0x1000', '0x2000', '0x1800', '0x0'])],
        ['u32', random.pick([1, 1, 0, 2])],
        ['u32', 0],
        ['u64', 'scratch+0x0'],
      ];
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      return [
        ['u64', random.pick(['0x0', '0x1000', '0x800'])],
        ['u64', random.pick(['0x4000', '0x10000', '0x0'])],
        ['u64', '0x1000'],
        ['u64', 'scratch+0x200'],
      ];
    case VFIO_DEVICE_FEATURE_DMA_BUF:
      return [
        ['u32', random.pick([0, 0, 1, 7, 9])],
        ['u32', random.pick([2, 0, 0x80000])],
        ['u32', 0],
        ['u32', random.pick([1, 1, 0, 2])],
        ['u64', random.pick([0, 0x1000, 0x800])],
        ['u64', random.pick([0x1000, 0x2000, 0, 0x20_0000])],
        ['u64', 0x4000],
        ['u64', 0x1000],
      ];
    default:
      return [];
  }
}

function feature(file: LiveFile, random: Random, world: World): Call {
  const number = random.below(numbers);
  const flags = number | random.pick([get, set, get | set, probe, probe | get, probe | set, 0]);
  return draft(random, world, VFIO_DEVICE_FEATURE, file.ref, { fields: { flags }, words: payload(number, random, world) });
}

/** Of what a device that migrates and logs what it writes is asked, each as often as it is worth. */
const migrating = [
  VFIO_DEVICE_FEATURE_MIGRATION,
  ...Array<number>(5).fill(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE),
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
];
const setOnly: readonly number[] = [
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
];

function migrate(file: LiveFile, random: Random, world: World): readonly Call[] {
  const number = random.pick(migrating) ?? VFIO_DEVICE_FEATURE_MIGRATION;
  const sets = setOnly.includes(number) || (number === VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && random.chance(0.8));
  const flags = number | (random.chance(0.9) ? (sets ? set : get) : probe);
  const call = draft(random, world, VFIO_DEVICE_FEATURE, file.ref, { fields: { flags }, words: payload(number, random, world) });
  if (number !== VFIO_DEVICE_FEATURE_DMA_LOGGING_START) return [call];
  const ranges: Word[] = [
    ['u64', random.pick(['0x0', '0x1000', '0x10000'])],
    ['u64', random.pick(['0x4000', '0x1000', '0x0', '0x10000'])],
    ['u64', random.pick(['0x100000', '0x2000'])],
    ['u64', '0x1000'],
  ];
  return [{ call: 'poke', at: 0, words: ranges }, call];
}

/** Whether it takes a device to a state. */
export function setsMigrationState({ fields = {} }: Ioctl): boolean {
  const flags = Number(fields['flags'] ?? 0);
  return (flags & VFIO_DEVICE_FEATURE_MASK) === VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && (flags & set) !== 0;
}

/** The header that a device's state begins with. */
const stateHeader: readonly Word[] = [
  ['u64', '0x7e9d09898c3e2c4e'],
  ['u32', 1],
  ['u32', 0],
  ['u32', 1],
  ['u32', 0],
];

const migrates = (file: LiveFile, world: World): boolean => file.kind === 'device' && world.hardware(file) === 'mtty';
const isDevice = (file: LiveFile): boolean => file.kind === 'device';
const movesState = (file: LiveFile): boolean => file.kind === 'migration';

export const featureRecipes: readonly Recipe[] = [
  on(2, isDevice, feature),
  on(4, (file) => isDevice(file) && file.ready, feature),
  on(16, migrates, migrate),
  on(8, movesState, ({ ref }, random) => ({ call: 'read', file: ref, length: random.pick([8, 16, 64, 256, 1024, 0]) })),
  on(6, movesState, ({ ref }, random) => ({
    ...{ call: 'write', file: ref },
    words: random.pick<readonly Word[]>([stateHeader, stateHeader, stateHeader.slice(0, 2), [['u64', 0]], []]),
  })),
  on(3, movesState, ({ ref }, random, world) =>
    draft(random, world, VFIO_MIG_GET_PRECOPY_INFO, ref, { fields: { argsz: random.pick([24, 24, 32]) } }),
  ),
];
