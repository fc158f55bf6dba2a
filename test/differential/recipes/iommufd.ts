/** /dev/iommu: address spaces, page tables and the rest, and devices by their own nodes. */
import { IOMMU_FAULT_QUEUE_ALLOC } from '../../../lib/abi/iommufd/fault.js';
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
} from '../../../lib/abi/iommufd/hwpt.js';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
} from '../../../lib/abi/iommufd/ioas.js';
import { IOMMU_DESTROY, IOMMU_IOAS_CHANGE_PROCESS, IOMMU_OPTION, IOMMU_VFIO_IOAS } from '../../../lib/abi/iommufd/object.js';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC, IOMMU_VIOMMU_ALLOC } from '../../../lib/abi/iommufd/viommu.js';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_DETACH_IOMMUFD_PT } from '../../../lib/abi/vfio/cdev.js';
import { VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../../lib/abi/vfio/type1.js';
import { draft } from '../draft.js';
import type { Call, Value, Word } from '../operation.js';
import { anyId, iovas, sizes, usualAddresses, usualIovas, usualSizes } from '../pools.js';
import type { Random } from '../random.js';
import type { LiveFile, LiveObject, World } from '../world.js';
import { on, type Recipe } from './recipe.js';

const isIommufd = (file: LiveFile): boolean => file.kind === 'iommufd';
const isNode = (file: LiveFile): boolean => file.kind === 'device' && file.node;

function objectOf(random: Random, world: World, file: Value, ...kinds: LiveObject['kind'][]): Value {
  const fitting = world.objects.filter((object) => object.file === file && kinds.includes(object.kind));
  return random.chance(0.95) ? (random.pick(fitting)?.ref ?? anyId(random, world)) : anyId(random, world);
}

/** What leads to a device by its own node. */
export const nodeSetUp: readonly Recipe[] = [
  { weight: 30, make: (_random, world) => (world.of('iommufd').length === 0 ? [{ call: 'open', path: 'iommufd' }] : []) },
  on(
    30,
    (file, world) => isIommufd(file) && world.objects.every(({ kind }) => kind !== 'ioas'),
    (file, random, world) => draft(random, world, IOMMU_IOAS_ALLOC, file.ref),
  ),
  {
    weight: 30,
    make(random, world) {
      const place = random.pick(world.wanted.filter((name) => world.of('device').every((device) => device.place !== name)));
      return place === undefined ? [] : [{ call: 'open', path: `node ${place}` }];
    },
  },
  on(
    30,
    (file, world) => isNode(file) && !file.ready && world.of('iommufd').length > 0,
    (file, random, world) => draft(random, world, VFIO_DEVICE_BIND_IOMMUFD, file.ref, bind(random, world)),
  ),
  on(
    20,
    (file, world) => isNode(file) && file.ready && !file.attached && world.objects.length > 0,
    (file, random, world) => attach(file, random, world),
  ),
];

function bind(random: Random, world: World): { fields: Record<string, Value> } {
  return { fields: { argsz: random.pick([16, 16, 24]), iommufd: random.pick(world.of('iommufd'))?.ref ?? -1 } };
}

function attach(file: LiveFile, random: Random, world: World): Call {
  const pt_id = objectOf(random, world, file.parent ?? 0, 'ioas', 'ioas', 'hwpt');
  const pasid = random.chance(0.05) ? { flags: 1, argsz: 16, pasid: random.pick([0, 1, 5]) } : { argsz: random.pick([12, 12, 16]) };
  return draft(random, world, VFIO_DEVICE_ATTACH_IOMMUFD_PT, file.ref, { fields: { pt_id, ...pasid } });
}

const ranges = (random: Random): Word[] =>
  Array.from({ length: 3 }).flatMap((_, index): Word[] => {
    const start = BigInt(random.pick(iovas) ?? 0);
    const last = random.chance(0.7) ? start + BigInt(index + 1) * 0x10_0000n - 1n : BigInt(random.pick(iovas) ?? 0);
    return [
      ['u64', `0x${start.toString(16)}`],
      ['u64', `0x${BigInt.asUintN(64, last).toString(16)}`],
    ];
  });

const usually = (random: Random, usual: readonly string[], all: readonly string[]): string =>
  random.pick(random.chance(0.8) ? usual : all) ?? '0x0';

/** Something that was mapped, or might be. */
function range(random: Random, world: World, ioas: Value): { iova: Value; length: Value } {
  const known = random.pick(world.mapped.filter(({ owner }) => owner === ioas));
  if (known !== undefined && random.chance(0.7)) return { iova: known.iova, length: known.size };
  return { iova: usually(random, usualIovas, iovas), length: usually(random, usualSizes, sizes) };
}

export const iommufdRecipes: readonly Recipe[] = [
  on(4, isIommufd, (file, random, world) => draft(random, world, IOMMU_IOAS_ALLOC, file.ref)),
  on(22, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_IOAS_MAP, file.ref, {
      fields: {
        flags: random.chance(0.8) ? 7 : random.pick([6, 2, 3, 4, 0, 1, 8]),
        ioas_id: objectOf(random, world, file.ref, 'ioas'),
        user_va: random.pick(usualAddresses) ?? 0,
        length: usually(random, usualSizes, sizes),
        iova: usually(random, usualIovas, iovas),
      },
    }),
  ),
  on(5, isIommufd, (file, random, world) => {
    const files = world.of('memfd');
    const memfd = random.pick(files)?.ref ?? -1;
    const map = draft(random, world, IOMMU_IOAS_MAP_FILE, file.ref, {
      fields: {
        flags: random.chance(0.8) ? 7 : random.pick([6, 2, 3, 4, 0]),
        ioas_id: objectOf(random, world, file.ref, 'ioas'),
        fd: memfd,
        start: random.pick([0, 0, '0x1000', '0x800', '0x10000']),
        length: usually(random, usualSizes, sizes),
        iova: usually(random, usualIovas, iovas),
      },
    });
    return files.length > 0 ? map : [{ call: 'memfd', size: random.pick([0x4000, 0x1_0000, 0x1800]) }];
  }),
  on(12, isIommufd, (file, random, world) => {
    const ioas_id = objectOf(random, world, file.ref, 'ioas');
    return draft(random, world, IOMMU_IOAS_UNMAP, file.ref, { fields: { ioas_id, ...range(random, world, ioas_id) } });
  }),
  on(1, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_IOAS_UNMAP, file.ref, {
      fields: { ioas_id: objectOf(random, world, file.ref, 'ioas'), length: '0xffffffffffffffff' },
    }),
  ),
  on(5, isIommufd, (file, random, world) => {
    const src_ioas_id = objectOf(random, world, file.ref, 'ioas');
    const { iova, length } = range(random, world, src_ioas_id);
    return draft(random, world, IOMMU_IOAS_COPY, file.ref, {
      fields: {
        flags: random.chance(0.8) ? 7 : random.pick([6, 2, 3, 4, 0]),
        dst_ioas_id: objectOf(random, world, file.ref, 'ioas'),
        src_ioas_id,
        length,
        dst_iova: usually(random, usualIovas, iovas),
        src_iova: iova,
      },
    });
  }),
  on(4, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_IOAS_IOVA_RANGES, file.ref, {
      fields: {
        ioas_id: objectOf(random, world, file.ref, 'ioas'),
        num_iovas: random.pick([0, 1, 2, 3, 8]),
        allowed_iovas: 'scratch+0x100',
      },
    }),
  ),
  on(2, isIommufd, (file, random, world) => [
    { call: 'poke', at: 0, words: ranges(random) },
    draft(random, world, IOMMU_IOAS_ALLOW_IOVAS, file.ref, {
      fields: { ioas_id: objectOf(random, world, file.ref, 'ioas'), num_iovas: random.pick([0, 1, 1, 2, 3]), allowed_iovas: 'scratch+0x0' },
    }),
  ]),
  on(4, isIommufd, (file, random, world) => {
    const dev_id = objectOf(random, world, file.ref, 'device');
    return draft(random, world, IOMMU_HWPT_ALLOC, file.ref, {
      fields: {
        size: random.pick([48, 48, 40, 24]),
        flags: random.pick([0, 0, 0, 1, 2, 4, 8, 3]),
        dev_id,
        pt_id: objectOf(random, world, file.ref, 'ioas', 'ioas', 'hwpt'),
        fault_id: random.chance(0.2) ? objectOf(random, world, file.ref, 'queue') : 0,
        ...(random.chance(0.15) && { data_type: random.pick([1, 2, 3]), data_len: 24, data_uptr: 'scratch+0x0' }),
      },
    });
  }),
  on(3, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_GET_HW_INFO, file.ref, {
      fields: {
        dev_id: objectOf(random, world, file.ref, 'device'),
        flags: random.pick([0, 0, 0, 1]),
        data_len: random.pick([0, 8, 24, 32, 64]),
        data_uptr: random.pick(['scratch+0x200', 'scratch+0x200', 0]),
      },
    }),
  ),
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_HWPT_SET_DIRTY_TRACKING, file.ref, {
      fields: { flags: random.pick([0, 1]), hwpt_id: objectOf(random, world, file.ref, 'hwpt') },
    }),
  ),
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_HWPT_GET_DIRTY_BITMAP, file.ref, {
      fields: {
        hwpt_id: objectOf(random, world, file.ref, 'hwpt'),
        flags: random.pick([0, 1]),
        iova: random.pick(usualIovas) ?? 0,
        length: random.pick(usualSizes) ?? 0,
        page_size: '0x1000',
        data: 'scratch+0x200',
      },
    }),
  ),
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_HWPT_INVALIDATE, file.ref, {
      fields: {
        hwpt_id: objectOf(random, world, file.ref, 'hwpt'),
        data_uptr: 'scratch+0x0',
        data_type: random.pick([0, 1]),
        entry_len: random.pick([0, 24, 16]),
        entry_num: random.pick([0, 1]),
      },
    }),
  ),
  on(1, isIommufd, (file, random, world) => draft(random, world, IOMMU_FAULT_QUEUE_ALLOC, file.ref)),
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_OPTION, file.ref, {
      fields: {
        option_id: random.pick([0, 1, 1]),
        op: random.pick([0, 1]),
        object_id: random.pick([0, objectOf(random, world, file.ref, 'ioas')]),
        val64: random.pick([0, 1, 2]),
      },
    }),
  ),
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_VFIO_IOAS, file.ref, {
      fields: { ioas_id: objectOf(random, world, file.ref, 'ioas'), op: random.pick([0, 1, 1, 2]) },
    }),
  ),
  on(1, isIommufd, (file, random, world) => draft(random, world, IOMMU_IOAS_CHANGE_PROCESS, file.ref)),
  on(1, isIommufd, (file, random, world) => virtual(file, random, world)),
  on(1, isIommufd, (file, random, world) => {
    const ioas_id = objectOf(random, world, file.ref, 'ioas');
    return draft(random, world, IOMMU_IOAS_NOIOMMU_GET_PA, file.ref, { fields: { ioas_id, iova: range(random, world, ioas_id).iova } });
  }),
  on(3, isIommufd, (file, random, world) =>
    draft(random, world, IOMMU_DESTROY, file.ref, { fields: { id: objectOf(random, world, file.ref, 'ioas', 'hwpt', 'queue', 'device') } }),
  ),
  // VFIO's own requests, which /dev/iommu answers for an address space.
  on(2, isIommufd, (file, random, world) =>
    draft(random, world, random.pick([VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA]), file.ref, {
      fields: { flags: random.pick([3, 0]), vaddr: 'memory+0x0', iova: random.pick(usualIovas) ?? 0, size: random.pick(usualSizes) ?? 0 },
    }),
  ),
  on(1, isIommufd, (file, random, world) =>
    draft(random, world, VFIO_IOMMU_GET_INFO, file.ref, { fields: { argsz: random.pick([16, 24, 72, 104, 256]) } }),
  ),
  on(2, isNode, (file, random, world) => attach(file, random, world)),
  on(1, isNode, (file, random, world) => draft(random, world, VFIO_DEVICE_BIND_IOMMUFD, file.ref, bind(random, world))),
  on(2, isNode, (file, random, world) =>
    draft(random, world, VFIO_DEVICE_DETACH_IOMMUFD_PT, file.ref, { fields: { argsz: random.pick([8, 8, 12]) } }),
  ),
  { weight: 1, make: () => [{ call: 'open', path: 'iommufd' }] },
  { weight: 1, make: (random, world) => [{ call: 'open', path: `node ${random.pick(world.names) ?? 'edu'}` }] },
];

function virtual(file: LiveFile, random: Random, world: World): Call {
  const request = random.pick([IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC, IOMMU_HW_QUEUE_ALLOC]);
  return draft(random, world, request, file.ref, {
    fields: {
      ...(request === IOMMU_VIOMMU_ALLOC && { type: random.pick([1, 0, 2]), hwpt_id: objectOf(random, world, file.ref, 'hwpt') }),
      ...(request !== IOMMU_VEVENTQ_ALLOC && request !== IOMMU_HW_QUEUE_ALLOC && { dev_id: objectOf(random, world, file.ref, 'device') }),
      ...(request !== IOMMU_VIOMMU_ALLOC && { viommu_id: anyId(random, world) }),
    },
  });
}
