/** Containers and groups, and the requests of type1. */
import { VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../../../lib/abi/vfio/container.js';
import {
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
} from '../../../lib/abi/vfio/group.js';
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../../lib/abi/vfio/type1.js';
import { draft } from '../draft.js';
import type { Word } from '../operation.js';
import { iovas, sizes, usualAddresses, usualIovas, usualSizes } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, Mapped, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

/** What leads to a device by its group. Each is made until it is done. */
export const groupSetUp: readonly Recipe[] = [
  { weight: 30, make: (_random, world) => (world.of('container').length === 0 ? [{ call: 'open', path: 'container' }] : []) },
  {
    weight: 30,
    make(random, world) {
      const place = random.pick(world.wanted.filter((name) => world.of('group').every((group) => group.place !== name)));
      return place === undefined ? [] : [{ call: 'open', path: `group ${place}` }];
    },
  },
  on(
    30,
    (file, world) => file.kind === 'group' && file.parent === undefined && world.of('container').length > 0,
    (file, random, world) => ({
      call: 'ioctl',
      file: file.ref,
      request: VFIO_GROUP_SET_CONTAINER.name,
      words: [['s32', (random.pick(world.of('container')) as LiveFile).ref]],
    }),
  ),
  on(
    30,
    (file, world) => file.kind === 'container' && !file.ready && world.of('group').some(({ parent }) => parent === file.ref),
    (file, random, world) => ({ call: 'ioctl', file: file.ref, request: VFIO_SET_IOMMU.name, value: iommuType(random, world) }),
  ),
  on(
    30,
    (file, world) =>
      file.kind === 'group' && world.file(file.parent)?.ready === true && world.of('device').every(({ place }) => place !== file.place),
    (file) => ({ call: 'ioctl', file: file.ref, request: VFIO_GROUP_GET_DEVICE_FD.name, text: `@${file.place ?? ''}` }),
  ),
];

/** Version 2 mostly; without an IOMMU there is one other. */
function iommuType(random: Random, world: World): number {
  if (world.noIommu) return random.chance(0.9) ? 8 : random.pick([1, 3]);
  return random.chance(0.8) ? 3 : random.pick([1, 1, 1, 6, 8, 2, 0]);
}

const isTranslating = (file: LiveFile): boolean => file.kind === 'container' && file.ready;
const isGroup = (file: LiveFile): boolean => file.kind === 'group';

function mappedIn(random: Random, world: World, file: LiveFile): Mapped | undefined {
  return random.pick(world.mapped.filter(({ owner }) => owner === file.ref));
}

function range(random: Random, world: World, file: LiveFile): { iova: string; size: string } {
  const known = mappedIn(random, world, file);
  if (known !== undefined && random.chance(0.6)) return { iova: String(known.iova), size: String(known.size) };
  if (random.chance(0.7)) return { iova: random.pick(usualIovas) ?? '0x0', size: random.pick(usualSizes) ?? '0x1000' };
  return { iova: random.pick(iovas) ?? '0x0', size: random.pick(sizes) ?? '0x1000' };
}

/** A bitmap is never said to be longer than there is room for: the kernel would fill what is behind it. */
function bitmap(random: Random): Word[] {
  const pageSize = random.chance(0.85) ? '0x1000' : random.pick(['0x0', '0x2000', '0x1001', '0x800', '0x200000']);
  const size = random.chance(0.8) ? random.pick([8, 16, 64]) : random.pick([0, 1, 7, 256, 1024]);
  const data = random.chance(0.9)
    ? random.pick(['scratch+0x0', 'scratch+0x100', 'scratch+0x808'])
    : random.pick(['0x0', '0x1000', '0xffff800000000000']);
  return [
    ['u64', pageSize],
    ['u64', size],
    ['u64', data],
  ];
}

export const containerRecipes: readonly Recipe[] = [
  on(26, isTranslating, (file, random, world) => {
    const usual = random.chance(0.75);
    return draft(random, world, VFIO_IOMMU_MAP_DMA, file.ref, {
      fields: {
        flags: random.chance(0.7) ? 3 : random.pick([1, 2, 3, 0, 4, 7, 8]),
        vaddr: random.pick(usualAddresses) ?? 0,
        iova: random.pick(usual ? usualIovas : iovas) ?? 0,
        size: random.pick(usual ? usualSizes : sizes) ?? 0,
      },
    });
  }),
  // The address of a mapping taken away, and given back.
  on(3, isTranslating, (file, random, world) => {
    const { iova, size } = range(random, world, file);
    const back = random.chance(0.5);
    const fields = { flags: 4, iova, size, ...(back && { vaddr: random.pick(usualAddresses) ?? 0 }) };
    return draft(random, world, back ? VFIO_IOMMU_MAP_DMA : VFIO_IOMMU_UNMAP_DMA, file.ref, { fields });
  }),
  on(12, isTranslating, (file, random, world) => {
    const { iova, size } = range(random, world, file);
    return draft(random, world, VFIO_IOMMU_UNMAP_DMA, file.ref, { fields: { iova, size } });
  }),
  on(2, isTranslating, (file, random, world) =>
    draft(random, world, VFIO_IOMMU_UNMAP_DMA, file.ref, { fields: { flags: random.pick([2, 2, 2, 6, 3]) } }),
  ),
  on(4, isTranslating, (file, random, world) => {
    const { iova, size } = range(random, world, file);
    return draft(random, world, VFIO_IOMMU_UNMAP_DMA, file.ref, { fields: { flags: 1, iova, size }, words: bitmap(random) });
  }),
  on(3, isTranslating, (file, random, world) =>
    draft(random, world, VFIO_IOMMU_DIRTY_PAGES, file.ref, { fields: { flags: random.pick([1, 1, 1, 2, 0, 3, 5]) } }),
  ),
  on(6, isTranslating, (file, random, world) => {
    const { iova, size } = range(random, world, file);
    const asked: Word[] = [
      ['u64', iova],
      ['u64', size],
    ];
    return draft(random, world, VFIO_IOMMU_DIRTY_PAGES, file.ref, { fields: { flags: 4 }, words: [...asked, ...bitmap(random)] });
  }),
  on(4, isTranslating, (file, random, world) =>
    draft(random, world, VFIO_IOMMU_GET_INFO, file.ref, {
      fields: { argsz: random.pick([16, 20, 24, 32, 56, 72, 88, 104, 120, 256, 512]) },
    }),
  ),
  on(
    3,
    ({ kind }) => kind === 'container' || kind === 'iommufd',
    ({ ref }, random) => ({
      call: 'ioctl',
      file: ref,
      request: VFIO_CHECK_EXTENSION.name,
      value: random.below(13),
    }),
  ),
  on(
    1,
    ({ kind }) => kind === 'container' || kind === 'iommufd',
    ({ ref }) => ({ call: 'ioctl', file: ref, request: VFIO_GET_API_VERSION.name }),
  ),
  on(
    1,
    ({ kind }) => kind === 'container',
    ({ ref }, random, world) => ({
      call: 'ioctl',
      file: ref,
      request: VFIO_SET_IOMMU.name,
      value: iommuType(random, world),
    }),
  ),
  on(2, isGroup, ({ ref }, random, world) => draft(random, world, VFIO_GROUP_GET_STATUS, ref)),
  on(1, isGroup, ({ ref }) => ({ call: 'ioctl', file: ref, request: VFIO_GROUP_UNSET_CONTAINER.name })),
  on(1, isGroup, ({ ref }, random, world) =>
    draft(random, world, VFIO_GROUP_SET_CONTAINER, ref, {
      words: [
        ['s32', random.chance(0.8) ? (random.pick([...world.of('container'), ...world.of('iommufd')])?.ref ?? -1) : anyOf(random, world)],
      ],
    }),
  ),
  on(2, isGroup, ({ ref, place }, random, world) => ({
    call: 'ioctl',
    file: ref,
    request: VFIO_GROUP_GET_DEVICE_FD.name,
    text: random.chance(0.8)
      ? `@${place ?? ''}`
      : random.pick(['', '0000:00:1e.7', ...world.names.map((name) => `@${name}`), 'x'.repeat(300)]),
  })),
  // A second of each.
  { weight: 1, make: () => [{ call: 'open', path: 'container' }] },
  { weight: 1, make: (random, world) => [{ call: 'open', path: `group ${random.pick(world.names) ?? 'edu'}` }] },
  {
    weight: 1,
    make: (random) => [{ call: 'open', path: random.pick(['/dev/vfio/4000', '/dev/vfio/noiommu-77', '/dev/vfio/devices/vfio99']) }],
  },
];

function anyOf(random: Random, world: World): string | number {
  return random.pick(world.files)?.ref ?? -1;
}
