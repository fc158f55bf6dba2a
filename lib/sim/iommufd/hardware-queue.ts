/** Queues of the hardware in a guest's memory. The order of checks is that of the kernel's viommu.c. */
import { errno } from '../../abi/errno.js';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_HW_QUEUE_TYPE_DEFAULT, iommu_hw_queue_alloc } from '../../abi/iommufd/viommu.js';
import type { HardwareQueueHardware, HardwareQueueHost, MakeHardwareQueue } from './hardware.js';
import { top } from './ioas.js';
import { IommufdObject } from './objects.js';
import { operation, type Context } from './operation.js';
import { VirtualIommu } from './virtual-iommu.js';

const pageSize = 4096n;
/** The kernel lists the pages in memory, by pointers, and gives no list as long as this. */
const mostPages = 2n ** 31n / 8n;

/** What the kernel holds pages by: an object of the file, which no request knows. */
class PageAccess extends IommufdObject {
  override users = 1;
  override release(): void {}
}

class HardwareQueue extends IommufdObject implements HardwareQueueHost {
  readonly index: number;
  readonly #context: Context;
  readonly #viommu: VirtualIommu;
  readonly #access = new PageAccess();
  /** The pages it lies in, while they are held. */
  #held: { readonly start: bigint; readonly last: bigint } | undefined;
  #needs: HardwareQueue | undefined;
  #hardware: HardwareQueueHardware | undefined;

  constructor(context: Context, viommu: VirtualIommu, index: number) {
    super();
    this.#context = context;
    this.#viommu = viommu;
    this.index = index;
    viommu.users += 1;
    context.objects.add(this);
    context.objects.add(this.#access);
  }

  dependOn(other: HardwareQueueHost): void {
    if (!(other instanceof HardwareQueue)) throw new TypeError('Not a queue of this kernel');
    other.users += 1;
    this.#needs = other;
  }

  /** iommufd_hw_queue_alloc_phys, then the driver's part: 0 or -errno. */
  start(make: MakeHardwareQueue, iova: bigint, length: bigint): number {
    const { ioas } = this.#viommu.parent;
    const refused = ioas.addPageUser();
    if (refused !== 0) return refused;
    const [start, last] = [iova & -pageSize, (iova + length - 1n) | (pageSize - 1n)];
    const locked = ioas.lock(start, last);
    if (locked !== 0) {
      ioas.removePageUser();
      return locked;
    }
    this.#held = { start, last };
    // No two pages of a process are neighbours in physical memory here.
    if (last - start >= pageSize) return -errno.EFAULT;
    const hardware = make(this);
    if (typeof hardware === 'number') return hardware;
    this.#hardware = hardware;
    return 0;
  }

  override release(): void {
    this.#hardware?.release();
    if (this.#needs !== undefined) this.#needs.users -= 1;
    const { ioas } = this.#viommu.parent;
    if (this.#held !== undefined) {
      ioas.unlock(this.#held.start, this.#held.last);
      ioas.removePageUser();
    }
    this.#access.users -= 1;
    this.#context.objects.destroy(this.#access.id);
    this.#viommu.users -= 1;
  }
}

export const allocateHardwareQueue = operation(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, (context, asked, { respond }) => {
  const { objects } = context;
  const { type, length, nesting_parent_iova: iova } = asked;
  if (asked.flags !== 0 || type === IOMMU_HW_QUEUE_TYPE_DEFAULT) return -errno.EOPNOTSUPP;
  if (length === 0n) return -errno.EINVAL;
  if (iova + length - 1n > top) return -errno.EOVERFLOW;
  const viommu = objects.find(asked.viommu_id, VirtualIommu);
  if (viommu === undefined) return -errno.ENOENT;
  const make = viommu.hardware.hardwareQueues?.(type);
  if (make === undefined) return -errno.EOPNOTSUPP;
  const rounded = (iova % pageSize) + length + pageSize - 1n;
  if (rounded > top) return -errno.ERANGE;
  if (rounded / pageSize >= mostPages) return -errno.ENOMEM;
  const queue = new HardwareQueue(context, viommu, asked.index);
  let result = queue.start(make, iova, length);
  asked.out_hw_queue_id = queue.id;
  if (result === 0) result = respond();
  if (result !== 0) objects.destroy(queue.id);
  return result;
});
