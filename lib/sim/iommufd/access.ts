/**
 * Access of a kernel's driver to an address space by the processor, as the drivers of mediated devices have it. The order
 * of checks is that of the kernel's device.c.
 */
import { errno } from '../../abi/errno.js';
import type { Interval } from '../interval-map.js';
import type { Pin } from '../user-memory.js';
import type { Attached, Bound } from './device.js';
import { DmaBufPages } from './file-pages.js';
import { Ioas, pageSize, top, type AreaPart, type Slice } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { Context } from './operation.js';

/** The driver. */
export interface AccessDriver {
  /** It pins pages, and so has to have whole ones. */
  readonly pinsPages: boolean;
  /** What it has pinned in the range it lets go of. */
  unmap(range: Interval): void;
}

/** Pages a driver has pinned. */
export interface Pinned {
  readonly slices: readonly Slice[];
  release(): void;
}

export class Access extends IommufdObject implements Bound {
  /** Its driver needs it. */
  override users = 1;
  /** What IOVAs of the address space are multiples of while it is attached. */
  readonly alignment: bigint;
  readonly takesPasids = false;
  readonly #context: Context;
  /** Undefined for the kernel's own, which lets go of what it has pinned when it is done and not before. */
  readonly #driver: AccessDriver | undefined;
  #ioas: Ioas | undefined;

  private constructor(context: Context, driver: AccessDriver | undefined) {
    super();
    this.#context = context;
    this.#driver = driver;
    this.alignment = driver?.pinsPages === false ? 1n : pageSize;
  }

  static create(context: Context, driver?: AccessDriver): Access {
    const access = new Access(context, driver);
    context.objects.add(access);
    return access;
  }

  /** What it is attached to. */
  get ioas(): Ioas | undefined {
    return this.#ioas;
  }

  /** Only to an address space: the id comes back. */
  attach(id: number): Attached {
    const ioas = this.#context.objects.find(id, Ioas);
    if (ioas === undefined) return -errno.ENOENT;
    const result = this.attachTo(ioas);
    return result === 0 ? { table: id } : result;
  }

  replace(id: number): Attached {
    return this.attach(id);
  }

  detach(): void {
    this.attachTo(undefined);
  }

  /** iommufd_access_change_ioas: 0 or -errno. */
  attachTo(ioas: Ioas | undefined): number {
    const old = this.#ioas;
    if (old === ioas) return 0;
    if (ioas !== undefined) {
      const refused = ioas.addAccess(this);
      if (refused !== 0) return refused;
      ioas.users += 1;
    }
    if (old !== undefined) {
      this.#driver?.unmap({ start: 0n, last: top });
      old.removeAccess(this);
      old.users -= 1;
    }
    this.#ioas = ioas;
    return 0;
  }

  /** iommufd_access_notify_unmap. */
  notify(range: Interval): void {
    this.#driver?.unmap(range);
  }

  /** iommufd_access_pin_pages: the pages, or -errno. */
  pin(iova: bigint, length: bigint, write: boolean): Pinned | number {
    const parts = this.#parts(iova, length);
    if (typeof parts === 'number') return parts;
    const locks = this.#driver === undefined ? 1 : 0;
    const pinned: { readonly part: AreaPart; readonly pin: Pin }[] = [];
    const release = (): void => {
      for (const { part, pin } of pinned) {
        part.area.accesses -= 1;
        part.area.locks -= locks;
        pin.release();
      }
    };
    let next = iova;
    for (const part of parts) {
      const result = part.start === next ? this.#pinPart(part, write) : -errno.ENOENT;
      if (typeof result === 'number') {
        release();
        return result;
      }
      pinned.push({ part, pin: result });
      part.area.accesses += 1;
      part.area.locks += locks;
      next = part.last + 1n;
    }
    if (next > iova + length - 1n) return { slices: pinned.map(({ part }) => part.slice), release };
    release();
    return -errno.ENOENT;
  }

  /** Where mappings end and begin again there is a page boundary: that is the alignment while a driver that pins is attached. */
  #pinPart({ area, slice }: AreaPart, write: boolean): Pin | number {
    const { pages, offset, length } = slice;
    if (offset % pageSize !== 0n) return -errno.EINVAL;
    if (!(write ? area.writable : area.readable)) return -errno.EPERM;
    return pages instanceof DmaBufPages ? -errno.EINVAL : pages.pin(offset, length, this.#context.platform);
  }

  /** iommufd_access_rw: 0 or -errno. What came before a part that is not there has been moved. */
  transfer(iova: bigint, bytes: Uint8Array, write: boolean): number {
    const parts = this.#parts(iova, BigInt(bytes.byteLength));
    if (typeof parts === 'number') return parts;
    let done = 0;
    for (const { area, slice, start } of parts) {
      if (start !== iova + BigInt(done)) break;
      if (!(write ? area.writable : area.readable)) return -errno.EPERM;
      const length = Number(slice.length);
      const result = slice.pages.transfer(slice.offset, bytes.subarray(done, done + length), write, this.#context.platform);
      if (result !== 0) return result;
      done += length;
    }
    return done === bytes.byteLength ? 0 : -errno.ENOENT;
  }

  #parts(iova: bigint, length: bigint): AreaPart[] | number {
    if (length === 0n) return -errno.EINVAL;
    if (iova + length - 1n > top) return -errno.EOVERFLOW;
    return [...(this.#ioas?.parts({ start: iova, last: iova + length - 1n }) ?? [])];
  }

  /** iommufd_access_destroy. */
  unbind(): void {
    this.users -= 1;
    this.#context.objects.destroy(this.id);
  }

  override release(): void {
    this.detach();
  }
}
