/** Queues of page requests at the seam, each answer in words: the errno's name, bytes, or the records. */
import { IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, iommu_hwpt_page_response, iommu_hwpt_pgfault } from '../../lib/abi/iommufd/fault.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { answer } from './seam.js';

export class FaultSeam {
  readonly kernel: Kernel;
  /** Its id. */
  readonly id: number;
  #fd: number;

  /** A new one. Throws the errno's name. */
  constructor(kernel: Kernel, iommufd: number) {
    this.kernel = kernel;
    const alloc = iommu_fault_alloc.create();
    alloc.size = iommu_fault_alloc.size;
    const result = answer(kernel.ioctl(iommufd, IOMMU_FAULT_QUEUE_ALLOC.number, alloc.bytes));
    if (result !== '0') throw new Error(`FAULT_QUEUE_ALLOC: ${result}`);
    this.id = alloc.out_fault_id;
    this.#fd = alloc.out_fault_fd;
  }

  get fd(): number {
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) this.kernel.close(this.#fd);
    this.#fd = -1;
  }

  /** The records, as 'device PASID:group:permission@address #cookie' with '.' at the last of a group; or the errno's name. */
  read(bytes = 10 * iommu_hwpt_pgfault.size): string {
    const buffer = new Uint8Array(bytes);
    const result = this.kernel.read(this.#fd, buffer);
    if (result < 0) return answer(result);
    return Array.from({ length: result / iommu_hwpt_pgfault.size }, (_, index) => {
      const at = index * iommu_hwpt_pgfault.size;
      const { flags, dev_id, pasid, grpid, perm, __reserved, addr, length, cookie } = iommu_hwpt_pgfault.copy(
        buffer.slice(at, at + iommu_hwpt_pgfault.size),
      );
      if ((flags & ~3) !== 0 || __reserved !== 0 || length !== 0) throw new Error('a record with more in it');
      const named = (flags & 1) === 0 ? 'none' : String(pasid);
      return `${dev_id} ${named}:${grpid}:${perm}@${addr.toString(16)} #${cookie}${(flags & 2) === 0 ? '' : '.'}`;
    }).join(' ');
  }

  /** Pairs of cookie and code. The bytes, or the errno's name. */
  respond(...responses: readonly (readonly [cookie: number, code: number])[]): string {
    const { size } = iommu_hwpt_page_response;
    const bytes = new Uint8Array(responses.length * size);
    responses.forEach(([cookie, code], index) => bytes.set(new Uint8Array(Uint32Array.of(cookie, code).buffer), index * size));
    return answer(this.kernel.write(this.#fd, bytes));
  }
}
