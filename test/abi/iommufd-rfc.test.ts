/** The declarations of /dev/iommu as it was proposed in 2022, held to the proposal's text. */
import { expect, it } from 'vitest';
import * as mainline from '../../lib/abi/index.js';
import * as rfc from '../../lib/abi/iommufd/rfc-2022.js';

it('requests have the numbers and lengths of the proposal', () => {
  expect(
    rfc.renumberedRequests.map(({ name, number, on, minimum, argument }) => [
      name,
      number,
      on,
      minimum,
      (argument as { size: number }).size,
    ]),
  ).toEqual([
    ['IOMMU_IOAS_IOVA_RANGES', 0x3b82, 'iommufd', 16, 16],
    ['IOMMU_IOAS_MAP', 0x3b83, 'iommufd', 16, 40],
    ['IOMMU_IOAS_COPY', 0x3b84, 'iommufd', 40, 40],
    ['IOMMU_IOAS_UNMAP', 0x3b85, 'iommufd', 24, 24],
    ['IOMMU_VFIO_IOAS', 0x3b86, 'iommufd', 12, 12],
  ]);
});

it('the ranges are the tail of their struct, where mainline has a pointer to them', () => {
  const offsets = rfc.iommu_ioas_iova_ranges.layout.map(({ name, offset }) => [name, offset]);
  expect(Object.fromEntries(offsets)).toEqual({ size: 0, ioas_id: 4, out_num_iovas: 8, __reserved: 12, out_valid_iovas: 16 });
  expect(mainline.iommu_ioas_iova_ranges.layout.map(({ name }) => name)).toContain('allowed_iovas');
});

it('what mainline calls so has another number, and another request that one', () => {
  const names = (number: number): string[] => mainline.requests.filter((each) => each.number === number).map(({ name }) => name);
  expect(Object.fromEntries(rfc.renumberedRequests.map(({ name, number }) => [name, names(number)]))).toEqual({
    IOMMU_IOAS_IOVA_RANGES: ['IOMMU_IOAS_ALLOW_IOVAS'],
    IOMMU_IOAS_MAP: ['IOMMU_IOAS_COPY'],
    IOMMU_IOAS_COPY: ['IOMMU_IOAS_IOVA_RANGES'],
    IOMMU_IOAS_UNMAP: ['IOMMU_IOAS_MAP'],
    IOMMU_VFIO_IOAS: ['IOMMU_IOAS_UNMAP'],
  });
  expect(mainline.IOMMU_VFIO_IOAS.number).toBe(0x3b88);
});
