import { BadAnswerError } from '../abi/chain.js';
import { errno } from '../abi/errno.js';
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_allow_iovas,
  iommu_ioas_iova_ranges,
  iommu_iova_range,
} from '../abi/iommufd/ioas.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { check, checked64 } from '../kernel/error.js';
import { hold } from '../kernel/hold.js';
import type { IovaRange } from '../memory/address-space.js';

/** A kernel that has more ranges each time it is asked is not one. */
const mostRounds = 8;

/** IOMMU_IOAS_IOVA_RANGES: asks with room for a few, and again with as many as there are. */
export function askRanges(
  { kernel, fd, path }: Descriptor,
  ioas: number,
): { readonly ranges: readonly IovaRange[]; readonly alignment: bigint } {
  let room = 16;
  for (let round = 0; round < mostRounds; round += 1) {
    const list = new ArrayBuffer(room * iommu_iova_range.size);
    const asked = iommu_ioas_iova_ranges.create();
    asked.size = iommu_ioas_iova_ranges.size;
    asked.ioas_id = ioas;
    asked.num_iovas = room;
    asked.allowed_iovas = kernel.addressOf(list);
    const result = kernel.ioctl(fd, IOMMU_IOAS_IOVA_RANGES.number, asked.bytes);
    if (result !== -errno.EMSGSIZE) {
      check(result, { syscall: 'ioctl', request: IOMMU_IOAS_IOVA_RANGES, path });
      if (asked.num_iovas > room) throw new BadAnswerError(`${asked.num_iovas} ranges in room for ${room}`, asked.bytes);
      const ranges = Array.from({ length: asked.num_iovas }, (_, index) => {
        const { start, last } = iommu_iova_range.view(list, index * iommu_iova_range.size);
        return { start, last };
      });
      return { ranges, alignment: asked.out_iova_alignment };
    }
    room = asked.num_iovas;
  }
  throw new BadAnswerError(`IOMMU_IOAS_IOVA_RANGES has more ranges each time, now ${room}`, new Uint8Array());
}

/** IOMMU_IOAS_ALLOW_IOVAS. */
export function allowRanges(descriptor: Descriptor, ioas: number, ranges: readonly IovaRange[]): void {
  const list = new ArrayBuffer(Math.max(1, ranges.length) * iommu_iova_range.size);
  for (const [index, { start, last }] of ranges.entries()) {
    const range = iommu_iova_range.view(list, index * iommu_iova_range.size);
    range.start = checked64('start', start);
    range.last = checked64('last', last);
  }
  const request = iommu_ioas_allow_iovas.create();
  request.size = iommu_ioas_allow_iovas.size;
  request.ioas_id = ioas;
  request.num_iovas = ranges.length;
  request.allowed_iovas = descriptor.kernel.addressOf(list);
  hold(list, () => descriptor.ioctl(IOMMU_IOAS_ALLOW_IOVAS, request.bytes));
}
