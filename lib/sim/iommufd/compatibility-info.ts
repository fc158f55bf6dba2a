/** VFIO_IOMMU_GET_INFO on /dev/iommu. The order of checks is that of the kernel's vfio_compat.c. */
import { errno } from '../../abi/errno.js';
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iova_range,
} from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';
import type { Platform } from '../platform.js';
import { dmaAvailableCapability, iovaRangesCapability } from '../type1/info.js';
import type { Ioas } from './ioas.js';

const pageSize = 4096n;
const everyPageSize = -pageSize;
/** Memory is what limits mappings, so their number is the largest there is. */
const mostMappings = 0xffff_ffff;
/** Where a capability's header says where the next one is. */
const nextOffset = 4;

interface Info {
  readonly pageSizes: bigint;
  readonly capabilities: readonly Uint8Array[];
  /** What the size of each is rounded up to. */
  readonly multiple: number;
}

export function compatibilityInfo(platform: Platform, ioas: Ioas | undefined, argument: Argument): number {
  return answerInfo(ioas, argument, (asked) => ({
    pageSizes: pageSizes(platform, asked),
    capabilities: [dmaAvailableCapability(mostMappings), iovaRangesCapability(asked.ranges())],
    multiple: 8,
  }));
}

/** GET_INFO of the address space, if there is one. */
export function answerInfo(ioas: Ioas | undefined, argument: Argument, describe: (ioas: Ioas) => Info): number {
  const { minimum } = VFIO_IOMMU_GET_INFO;
  const info = argument.struct(vfio_iommu_type1_info, minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < minimum) return -errno.EINVAL;
  if (ioas === undefined) return -errno.ENODEV;
  const room = info.argsz;
  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  const description = describe(ioas);
  info.iova_pgsizes = description.pageSizes;
  const total = writeCapabilities(description, room, argument);
  if (total < 0) return total;
  info.cap_offset = room >= total ? vfio_iommu_type1_info.size : 0;
  info.argsz = total;
  return argument.copyTo(info.bytes.subarray(0, Math.min(room, vfio_iommu_type1_info.size))) ? 0 : -errno.EFAULT;
}

/** Each where there is room for it, even where there is none for all. The bytes that all take, or -errno. */
function writeCapabilities({ capabilities, multiple }: Info, room: number, argument: Argument): number {
  let total = vfio_iommu_type1_info.size;
  let previous: number | undefined;
  for (const capability of capabilities) {
    const { start, bytes } = fitting(capability, room - total);
    if (bytes.byteLength > 0 && !argument.copyTo(bytes, total + start)) return -errno.EFAULT;
    const next = new Uint8Array(new Uint32Array([total]).buffer);
    if (previous !== undefined && room >= total && !argument.copyTo(next, previous + nextOffset)) return -errno.EFAULT;
    previous = total;
    total += Math.ceil(capability.byteLength / multiple) * multiple;
  }
  return total;
}

/** Of a capability that does not fit as a whole, those of its ranges that do, without what comes before them. */
function fitting(capability: Uint8Array, room: number): { readonly start: number; readonly bytes: Uint8Array } {
  if (capability.byteLength <= room) return { start: 0, bytes: capability };
  const start = vfio_iommu_type1_info_cap_iova_range.size;
  const ranges = Math.max(0, Math.floor((room - start) / vfio_iova_range.size));
  return { start, bytes: capability.subarray(start, start + ranges * vfio_iova_range.size) };
}

/** What every page table has, the small pages of the processor, and larger ones. */
function pageSizes({ iommu }: Platform, ioas: Ioas): bigint {
  const sizes = BigInt.asUintN(64, ioas.storage === undefined ? everyPageSize : (ioas.storage.pageSizes ?? iommu.pageSizes));
  return sizes > ioas.alignment ? sizes : ioas.alignment;
}
