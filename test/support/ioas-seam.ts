/** Requests about address spaces at the seam, each answered in words: the errno's name, or what came back. */
import type { Request } from '../../lib/abi/ioctl.js';
import * as ioas from '../../lib/abi/iommufd/ioas.js';
import {
  IOMMU_DESTROY,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_OPTION,
  iommu_ioas_change_process,
  iommu_option,
} from '../../lib/abi/iommufd/object.js';
import type { StructType } from '../../lib/abi/struct.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import { answer } from './seam.js';

export type Fields = Readonly<Record<string, number | bigint>>;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

export class IoasSeam {
  readonly kernel: Kernel;
  readonly fd: number;
  readonly #list: Mapping & { readonly memory: ArrayBuffer };
  readonly #listAddress: bigint;

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    this.#list = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
    this.#listAddress = kernel.addressOf(this.#list.memory);
  }

  close(): void {
    this.#list.unmap();
  }

  /** A request with a length word and room of one's own, and one byte behind the struct. */
  ask({ number, argument }: Request, fields: Fields, { length, room, tail }: { length: number; room: number; tail: number }): string {
    const type = argument as StructType;
    const view = type.create(room - type.size);
    Object.assign(view, fields);
    const bytes = view.bytes as Uint8Array;
    new DataView(bytes.buffer).setUint32(0, length, true);
    bytes[type.size] = tail;
    return answer(this.kernel.ioctl(this.fd, number, bytes));
  }

  /** The id. */
  alloc(): number {
    const alloc = ioas.iommu_ioas_alloc.create();
    const result = this.#ioctl(ioas.IOMMU_IOAS_ALLOC, alloc, {});
    if (result !== '0') throw new Error(`IOAS_ALLOC: ${result}`);
    return alloc.out_ioas_id;
  }

  destroy(id: number): string {
    return this.#ioctl(IOMMU_DESTROY, (IOMMU_DESTROY.argument as StructType).create(), { id });
  }

  /** The IOVA. By default fixed at 64 KiB, one page long, to be read and written. */
  map(fields: Fields): string {
    const map = ioas.iommu_ioas_map.create();
    const usual = { flags: 7, user_va: 0x7000_0000_0000n, length: 4096n, iova: 0x1_0000n };
    const result = this.#ioctl(ioas.IOMMU_IOAS_MAP, map, { ...usual, ...fields });
    return result === '0' ? hex(map.iova) : result;
  }

  /** The IOVA. By default fixed at 64 KiB, the first page of the file, to be read and written. */
  mapFile(fields: Fields): string {
    const map = ioas.iommu_ioas_map_file.create();
    const result = this.#ioctl(ioas.IOMMU_IOAS_MAP_FILE, map, { flags: 7, length: 4096n, iova: 0x1_0000n, ...fields });
    return result === '0' ? hex(map.iova) : result;
  }

  changeProcess(fields: Fields = {}): string {
    return this.#ioctl(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process.create(), fields);
  }

  /** The bytes. */
  unmap(ioas_id: number, iova: bigint, length: bigint): string {
    const unmap = ioas.iommu_ioas_unmap.create();
    const result = this.#ioctl(ioas.IOMMU_IOAS_UNMAP, unmap, { ioas_id, iova, length });
    return result === '0' ? hex(unmap.length) : result;
  }

  /** The IOVA. By default two pages from 64 KiB to 256 KiB. */
  copy(fields: Fields): string {
    const copy = ioas.iommu_ioas_copy.create();
    const usual = { flags: 7, length: 0x2000n, src_iova: 0x1_0000n, dst_iova: 0x4_0000n };
    const result = this.#ioctl(ioas.IOMMU_IOAS_COPY, copy, { ...usual, ...fields });
    return result === '0' ? hex(copy.dst_iova) : result;
  }

  /** The count, the ranges and the alignment. */
  ranges(ioas_id: number, fields: Fields = {}): string {
    const asked = ioas.iommu_ioas_iova_ranges.create();
    const result = this.#ioctl(ioas.IOMMU_IOAS_IOVA_RANGES, asked, {
      ioas_id,
      num_iovas: 8,
      allowed_iovas: this.#listAddress,
      ...fields,
    });
    if (result !== '0' && result !== 'EMSGSIZE') return result;
    const written = result === '0' ? asked.num_iovas : 0;
    const list = Array.from({ length: written }, (_, index) => {
      const { start, last } = ioas.iommu_iova_range.view(this.#list.memory, index * ioas.iommu_iova_range.size);
      return `${hex(start)}-${hex(last)} `;
    });
    return `${result === '0' ? '' : 'EMSGSIZE '}${asked.num_iovas}: ${list.join('')}alignment ${asked.out_iova_alignment}`;
  }

  allow(ioas_id: number, ranges: readonly (readonly [bigint, bigint])[], fields: Fields = {}): string {
    for (const [index, [start, last]] of ranges.entries())
      Object.assign(ioas.iommu_iova_range.view(this.#list.memory, index * ioas.iommu_iova_range.size), { start, last });
    const asked = ioas.iommu_ioas_allow_iovas.create();
    return this.#ioctl(ioas.IOMMU_IOAS_ALLOW_IOVAS, asked, {
      ioas_id,
      num_iovas: ranges.length,
      allowed_iovas: this.#listAddress,
      ...fields,
    });
  }

  /** The value that came back. */
  option(option_id: number, op: number, object_id = 0, val64 = 9n, fields: Fields = {}): string {
    const option = iommu_option.create();
    const result = this.#ioctl(IOMMU_OPTION, option, { option_id, op, object_id, val64, ...fields });
    return result === '0' ? String(option.val64) : result;
  }

  #ioctl({ number }: Request, view: { readonly bytes: Uint8Array }, fields: Fields): string {
    Object.assign(view, { size: view.bytes.byteLength, ...fields });
    return answer(this.kernel.ioctl(this.fd, number, view.bytes));
  }
}
