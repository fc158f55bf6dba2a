/** SET_IRQS and what tells of interrupts. */
import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS } from '../../../lib/abi/vfio/irq.js';
import { draft } from '../draft.js';
import type { Call, Word } from '../operation.js';
import type { Hardware } from '../places.js';
import { anyFd } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

const isDevice = (file: LiveFile): boolean => file.kind === 'device';
const isReady = (file: LiveFile): boolean => isDevice(file) && file.ready;

const [intx, msi, msix, errors, requests] = [0, 1, 2, 3, 4];
const all = [intx, intx, msi, msi, msi, msix, errors, requests, 5, 0xffff_ffff] as const;

/** The indexes that a device has, each as often as it is worth. */
const usual: Readonly<Record<Hardware, readonly number[]>> = {
  edu: [intx, intx, msi, msi, msi, requests],
  nvme: [intx, msix, msix, msix, msix, errors, requests],
  e1000e: [intx, msi, msix, msix, msix, errors, requests],
  mtty: [intx, intx, msi],
  mdpy: [intx],
  mbochs: [intx, msi],
};

/** How many vectors of MSI-X a device has. */
const vectors: Readonly<Partial<Record<Hardware, number>>> = { nvme: 65, e1000e: 5 };

const [none, bool, eventfd] = [1, 2, 4];
const [mask, unmask, trigger] = [8, 0x10, 0x20];

function prepared(random: Random, world: World): readonly Call[] {
  return world.of('eventfd').length < 3 && random.chance(0.7) ? [{ call: 'eventfd', initial: random.pick([0, 0, 3]) }] : [];
}

/** An eventfd mostly; -1 takes one away. */
function anyEventfd(random: Random, world: World): Word {
  return ['s32', random.chance(0.8) ? (random.pick(world.of('eventfd'))?.ref ?? -1) : random.chance(0.7) ? -1 : anyFd(random, world)];
}

function words(random: Random, world: World, data: number, count: number): Word[] {
  return Array.from(
    { length: data === none ? 0 : count },
    (): Word => (data === bool ? ['u8', random.below(3)] : anyEventfd(random, world)),
  );
}

/** Whole arguments mostly: of all data types and actions on all ranges, few are. */
function setIrqs(file: LiveFile, random: Random, world: World): readonly Call[] {
  const meant = random.chance(0.7);
  const data = meant ? random.pick([none, bool, eventfd, eventfd, eventfd]) : random.pick([none, bool, eventfd, 0, 6]);
  const action = meant ? random.pick([trigger, trigger, trigger, mask, unmask]) : random.pick([trigger, mask, unmask, trigger | mask, 0]);
  const start = random.chance(0.9) ? 0 : random.pick([1, 2, 0xffff_ffff]);
  const count = random.chance(0.85) ? 1 : random.pick([0, 0, 2, 3, 0xffff_ffff]);
  const length = random.chance(0.95) ? Math.min(count, 3) : random.below(3);
  const index = meant ? (random.pick(usual[world.hardware(file)]) ?? intx) : random.pick(all);
  const fields = { flags: data | action, index, start, count };
  return [
    ...prepared(random, world),
    draft(random, world, VFIO_DEVICE_SET_IRQS, file.ref, { fields, words: words(random, world, data, length) }),
  ];
}

/** MSI-X: many vectors, parts of them, more than there were at first, and all that there are or one more. */
function setMessages(file: LiveFile, random: Random, world: World): readonly Call[] {
  const most = vectors[world.hardware(file)] ?? 1;
  const start = random.chance(0.4) ? 0 : random.pick([0, 1, 2, 4, most - 1, most, random.below(most)]);
  const count = random.chance(0.2) ? Math.max(1, most - start) : random.pick([1, 1, 2, 3, 5, 0, most + 1]);
  const data = random.pick([eventfd, eventfd, eventfd, bool, none]);
  const action = random.chance(0.9) ? trigger : random.pick([mask, unmask]);
  const fields = { flags: data | action, index: msix, start, count };
  return [
    ...prepared(random, world),
    draft(random, world, VFIO_DEVICE_SET_IRQS, file.ref, { fields, words: words(random, world, data, count) }),
  ];
}

const hasMessages = (file: LiveFile, world: World): boolean => isReady(file) && vectors[world.hardware(file)] !== undefined;

export const interruptRecipes: readonly Recipe[] = [
  on(3, isDevice, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_GET_IRQ_INFO, file.ref, {
      fields: { index: random.chance(0.7) ? (random.pick(usual[world.hardware(file)]) ?? intx) : random.pick(all) },
    }),
  ),
  on(24, isReady, setIrqs),
  on(2, isDevice, setIrqs),
  on(14, hasMessages, setMessages),
];
