/** Requests about virtual IOMMUs at the seam, each answered in words: the errno's name, or what came back. */
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_INVALIDATE,
  iommu_hwpt_alloc,
  iommu_hwpt_invalidate,
} from '../../lib/abi/iommufd/hwpt.js';
import * as abi from '../../lib/abi/iommufd/viommu.js';
import type { Request } from '../../lib/abi/ioctl.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import type { Fields } from './ioas-seam.js';
import * as mock from './mock/abi.js';
import { answer } from './seam.js';

interface Queue {
  readonly id: number;
  readonly fd: number;
}

export class ViommuSeam {
  readonly kernel: Kernel;
  readonly fd: number;
  /** A page of memory that pointers lead to. */
  readonly memory: ArrayBuffer;
  readonly address: bigint;
  readonly #page: Mapping;

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    this.#page = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
    this.memory = this.#page.memory as ArrayBuffer;
    this.address = kernel.addressOf(this.memory);
  }

  close(): void {
    this.#page.unmap();
  }

  /** A page table. By default one that others nest on; with `data`, one that nests on `pt_id`. */
  table(dev_id: number, pt_id: number, fields: Fields = {}): string {
    const request = iommu_hwpt_alloc.create();
    const result = this.#ioctl(IOMMU_HWPT_ALLOC, request, { dev_id, pt_id, flags: IOMMU_HWPT_ALLOC_NEST_PARENT, ...fields });
    return result === '0' ? String(request.out_hwpt_id) : result;
  }

  /** The mock's nested page table. */
  nested(dev_id: number, pt_id: number, fields: Fields = {}): string {
    mock.iommu_hwpt_selftest.view(this.memory).iotlb = mock.IOMMU_TEST_IOTLB_DEFAULT;
    const data = { data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: this.address };
    return this.table(dev_id, pt_id, { flags: 0, ...data, ...fields });
  }

  /** The id. By default of the mock's type, and without data. */
  alloc(dev_id: number, hwpt_id: number, fields: Fields = {}): string {
    const request = abi.iommu_viommu_alloc.create();
    const result = this.#ioctl(abi.IOMMU_VIOMMU_ALLOC, request, { dev_id, hwpt_id, type: mock.IOMMU_VIOMMU_TYPE_SELFTEST, ...fields });
    return result === '0' ? String(request.out_viommu_id) : result;
  }

  /** With the mock's data: what it answered. */
  allocWithData(dev_id: number, hwpt_id: number, in_data: number): { id: string; echo: number; offset: number; length: number } {
    const data = mock.iommu_viommu_selftest.view(this.memory);
    data.bytes.fill(0);
    data.in_data = in_data;
    const id = this.alloc(dev_id, hwpt_id, { data_len: mock.iommu_viommu_selftest.size, data_uptr: this.address });
    return { id, echo: data.out_data, offset: Number(data.out_mmap_offset), length: Number(data.out_mmap_length) };
  }

  /** The id of a device on the virtual IOMMU. */
  device(viommu_id: number, dev_id: number, virt_id: bigint, fields: Fields = {}): string {
    const request = abi.iommu_vdevice_alloc.create();
    const result = this.#ioctl(abi.IOMMU_VDEVICE_ALLOC, request, { viommu_id, dev_id, virt_id, ...fields });
    return result === '0' ? String(request.out_vdevice_id) : result;
  }

  /** An event queue. By default of the mock's type, for two events. */
  eventQueue(viommu_id: number, fields: Fields = {}): Queue | string {
    const request = abi.iommu_veventq_alloc.create();
    const usual = { viommu_id, type: mock.IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth: 2 };
    const result = this.#ioctl(abi.IOMMU_VEVENTQ_ALLOC, request, { ...usual, ...fields });
    return result === '0' ? { id: request.out_veventq_id, fd: request.out_veventq_fd } : result;
  }

  /** What a read of that many bytes gives: each event's sequence and virtual id, or what else there is. */
  read(fd: number, length: number): string {
    const bytes = new Uint8Array(new ArrayBuffer(length));
    const result = this.kernel.read(fd, bytes);
    if (result < 0) return answer(result);
    const words = [...new Uint32Array(bytes.buffer, 0, result >> 2)];
    const events: string[] = [];
    while (words.length > 0) {
      const [flags = 0, sequence = 0] = words.splice(0, 2);
      events.push(
        (flags & abi.IOMMU_VEVENTQ_FLAG_LOST_EVENTS) === 0 ? `${sequence}: 0x${words.shift()?.toString(16)}` : `${sequence}: lost`,
      );
    }
    return events.join(', ');
  }

  /** The id. By default of the mock's type, one page long. */
  hardwareQueue(viommu_id: number, fields: Fields = {}): string {
    const request = abi.iommu_hw_queue_alloc.create();
    const usual = { viommu_id, type: mock.IOMMU_HW_QUEUE_TYPE_SELFTEST, length: 4096n };
    const result = this.#ioctl(abi.IOMMU_HW_QUEUE_ALLOC, request, { ...usual, ...fields });
    return result === '0' ? String(request.out_hw_queue_id) : result;
  }

  /** How many were handled, and the errno's name if not all. `entries` are the words of each. */
  invalidate(hwpt_id: number, entries: readonly (readonly number[])[], fields: Fields = {}): string {
    const entry_len = Number(fields['entry_len'] ?? 12);
    new Uint8Array(this.memory).fill(0);
    for (const [index, words] of entries.entries()) new Uint32Array(this.memory, index * entry_len, words.length).set(words);
    const request = iommu_hwpt_invalidate.create();
    const usual = { hwpt_id, data_type: mock.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST, data_uptr: this.address };
    const result = this.#ioctl(IOMMU_HWPT_INVALIDATE, request, { ...usual, entry_len, entry_num: entries.length, ...fields });
    return result === '0' ? String(request.entry_num) : `${request.entry_num} ${result}`;
  }

  #ioctl({ number }: Request, view: { readonly bytes: Uint8Array }, fields: Fields): string {
    Object.assign(view, { size: view.bytes.byteLength, ...fields });
    return answer(this.kernel.ioctl(this.fd, number, view.bytes));
  }
}
