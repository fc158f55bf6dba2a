import { IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate } from '../abi/iommufd/hwpt.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { expected, KernelError } from '../kernel/error.js';
import { withDriverData, type DriverData } from './driver-data.js';

/** One entry was refused, or its hardware failed; those before it are done. */
export class InvalidationError extends KernelError {
  /** How many were handled: the index of the one that was refused. */
  readonly handled: number;

  constructor(errno: number, path: string, handled: number) {
    super(errno, { syscall: 'ioctl', request: IOMMU_HWPT_INVALIDATE, path });
    this.name = 'InvalidationError';
    this.handled = handled;
  }
}

/**
 * IOMMU_HWPT_INVALIDATE of object `id`: entries of one type, in order. None at all asks whether the driver knows the type.
 * @throws InvalidationError
 */
export function invalidate({ kernel, fd, path }: Descriptor, id: number, type: number, entries: readonly DriverData[]): void {
  const length = entries[0]?.bytes.byteLength ?? 0;
  const other = entries.find(({ bytes }) => bytes.byteLength !== length);
  if (other !== undefined) throw expected(`entries of ${length} bytes each`, 'entries', `one of ${other.bytes.byteLength}`);
  const request = iommu_hwpt_invalidate.create();
  request.size = iommu_hwpt_invalidate.size;
  request.hwpt_id = id;
  request.data_type = type;
  request.entry_len = length;
  request.entry_num = entries.length;
  const result = withDriverData(kernel, entries, (address) => {
    request.data_uptr = address;
    return kernel.ioctl(fd, IOMMU_HWPT_INVALIDATE.number, request.bytes);
  });
  if (result < 0) throw new InvalidationError(result, path, request.entry_num);
}
