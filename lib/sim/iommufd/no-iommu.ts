/** What stands for the IOMMU of a device that has none: the kernel keeps a page table for it, which no hardware reads. */
import { errno } from '../../abi/errno.js';
import { IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa } from '../../abi/iommufd/ioas.js';
import type { DeviceIommu, PagingDomain } from './hardware.js';
import { Ioas, top } from './ioas.js';
import { operation } from './operation.js';

const pageSize = 4096n;
/** Its format is that of AMD's tables. */
const pageSizes = 0x000f_ff7f_ffff_f000n;
const driver = {};

export const noIommu: DeviceIommu = {
  driver,
  // Nobody asks: there is nothing to be isolated.
  isolatesInterrupts: true,
  reserved: [],
  tracksDirtyPages: false,
  translatesForDevice: false,
  maxPasidLog2: 0,
  knowsPasids: false,
  requestsPages: false,
  leavesPasidsToGuests: false,
  hardwareInformation: () => -errno.EOPNOTSUPP,
  allocatePaging: (flags, data): PagingDomain | number =>
    flags !== 0 || data !== undefined ? -errno.EOPNOTSUPP : { driver, pageSize, pageSizes, aperture: { start: 0n, last: top } },
  attach: () => 0,
  enablePageRequests: () => -errno.ENODEV,
};

/** IOAS_NOIOMMU_GET_PA. */
export const physicalAddress = operation(IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa, ({ objects, platform }, asked, caller) => {
  if (!platform.rawIo) return -errno.EPERM;
  if (asked.flags !== 0 || asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  if (asked.length === 0n) return -errno.EINVAL;
  if (asked.iova >= top) return -errno.EOVERFLOW;
  const ioas = objects.find(asked.ioas_id, Ioas);
  if (ioas === undefined) return -errno.ENOENT;
  const found = physicalRun(ioas, asked.iova, asked.length, (address) => platform.physical.addressOf(address));
  if (typeof found === 'number') return found;
  asked.out_phys = found.address;
  asked.length = found.length;
  return caller.respond();
});

/** iopt_get_phys: where the memory behind an IOVA lies, and how many bytes go on in one piece, at most `most`. Or -errno. */
function physicalRun(
  ioas: Ioas,
  iova: bigint,
  most: bigint,
  physical: (address: bigint) => bigint | undefined,
): { readonly address: bigint; readonly length: bigint } | number {
  const area = ioas.areaAt(iova);
  if (area === undefined) return -errno.ENOENT;
  if (!area.pages.reachable) return -errno.EINVAL;
  if (ioas.storage?.driver !== driver) return -errno.EOPNOTSUPP;
  // Of files' memory the simulated machine does not say where it lies.
  const at = (offset: bigint): bigint | undefined =>
    area.pages.ofFile ? undefined : physical(area.pages.address + area.offset + iova - area.start + offset);
  const address = at(0n);
  if (address === undefined) return -errno.EOPNOTSUPP;
  const end = area.last - iova + 1n;
  let length = pageSize - (iova % pageSize);
  while (length < most && length < end && at(length) === address + length) length += pageSize;
  return { address, length: [length, most, end].reduce((a, b) => (a < b ? a : b)) };
}
