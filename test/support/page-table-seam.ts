/** Requests about page tables at the seam, each answered in words: the errno's name, or what came back. */
import type { Request } from '../../lib/abi/ioctl.js';
import * as hwpt from '../../lib/abi/iommufd/hwpt.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import type { Fields } from './ioas-seam.js';
import { answer } from './seam.js';

export class PageTableSeam {
  readonly kernel: Kernel;
  readonly fd: number;
  /** A page for what the requests point to. */
  readonly memory: ArrayBuffer;
  readonly address: bigint;
  readonly #mapping: Mapping;

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    const mapping = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
    this.#mapping = mapping;
    this.memory = mapping.memory;
    this.address = kernel.addressOf(mapping.memory);
  }

  close(): void {
    this.#mapping.unmap();
  }

  /** Puts bytes where `address` points to. */
  place(bytes: Uint8Array): bigint {
    new Uint8Array(this.memory).fill(0);
    new Uint8Array(this.memory).set(bytes);
    return this.address;
  }

  /** The id. `data` is placed in memory, with its length. */
  alloc(fields: Fields, data?: Uint8Array): string {
    const alloc = hwpt.iommu_hwpt_alloc.create();
    const pointer = data === undefined ? {} : { data_len: data.byteLength, data_uptr: this.place(data) };
    const result = this.#ioctl(hwpt.IOMMU_HWPT_ALLOC, alloc, { ...pointer, ...fields });
    return result === '0' ? String(alloc.out_hwpt_id) : result;
  }

  /** The type, the length there is, capabilities and PASIDs; then the bytes that came, as far as `data_len` goes. */
  hardware(fields: Fields): string {
    const info = hwpt.iommu_hw_info.create();
    const room = Number(fields['data_len'] ?? 0);
    const result = this.#ioctl(hwpt.IOMMU_GET_HW_INFO, info, { data_uptr: this.address, ...fields });
    if (result !== '0') return result;
    const bytes = Buffer.from(new Uint8Array(this.memory, 0, room)).toString('hex');
    const { out_data_type, data_len, out_capabilities, out_max_pasid_log2 } = info;
    return `type ${out_data_type} length ${data_len} capabilities ${out_capabilities} pasids ${out_max_pasid_log2}: ${bytes}`;
  }

  setTracking(hwpt_id: number, flags: number, fields: Fields = {}): string {
    return this.#ioctl(hwpt.IOMMU_HWPT_SET_DIRTY_TRACKING, hwpt.iommu_hwpt_set_dirty_tracking.create(), { hwpt_id, flags, ...fields });
  }

  /** The first 64 bits of the bitmap, as hexadecimal digits. */
  bitmap(hwpt_id: number, fields: Fields): string {
    const words = new BigUint64Array(this.memory, 0, 1);
    words[0] = 0n;
    const result = this.addBitmap(hwpt_id, fields);
    return result === '0' ? `0x${(words[0] ?? 0n).toString(16)}` : result;
  }

  /** Into memory as it is. */
  addBitmap(hwpt_id: number, fields: Fields): string {
    const get = hwpt.iommu_hwpt_get_dirty_bitmap.create();
    return this.#ioctl(hwpt.IOMMU_HWPT_GET_DIRTY_BITMAP, get, { hwpt_id, page_size: 4096n, data: this.address, ...fields });
  }

  /** The errno or 0, and how many entries were handled. `entries` are of `entry_len` bytes together. */
  invalidate(hwpt_id: number, fields: Fields, entries: Uint8Array = new Uint8Array()): string {
    const request = hwpt.iommu_hwpt_invalidate.create();
    const result = this.#ioctl(hwpt.IOMMU_HWPT_INVALIDATE, request, { hwpt_id, data_uptr: this.place(entries), ...fields });
    return `${result}, ${request.entry_num} handled`;
  }

  #ioctl({ number }: Request, view: { readonly bytes: Uint8Array }, fields: Fields): string {
    Object.assign(view, { size: view.bytes.byteLength, ...fields });
    return answer(this.kernel.ioctl(this.fd, number, view.bytes));
  }
}
