/** Pages that a driver shows to user space, mapped from /dev/iommu at offsets that requests answer. */
import { errno } from '../../abi/errno.js';
import { MAP_SHARED, PROT_EXEC } from '../../abi/system.js';
import type { Mapping } from '../../kernel/kernel.js';
import { CheckedMapping, loadBytes, storeBytes, type Width } from '../mapping.js';
import type { OpenFile } from '../open-file.js';
import type { IommufdObject } from './objects.js';

const pageSize = 4096;

interface Place {
  readonly owner: IommufdObject;
  readonly pages: Uint8Array;
}

export class ExposedPages {
  /** By offset. */
  readonly #places = new Map<number, Place>();

  /** The lowest offset that is free; the first page stays so, that 0 is none. */
  add(owner: IommufdObject, pages: Uint8Array): number {
    let offset = pageSize;
    for (const [start, { pages: taken }] of [...this.#places].sort(([a], [b]) => a - b))
      if (start < offset + pages.byteLength) offset = start + taken.byteLength;
    this.#places.set(offset, { owner, pages });
    return offset;
  }

  /** What an object shows goes with it. */
  remove(owner: IommufdObject): void {
    for (const [offset, place] of this.#places) if (place.owner === owner) this.#places.delete(offset);
  }

  /** iommufd_fops_mmap: all of what an offset is for, or -errno. */
  map(file: OpenFile, length: number, protection: number, flags: number, offset: number): Mapping | number {
    if ((flags & MAP_SHARED) === 0) return -errno.EINVAL;
    if ((protection & PROT_EXEC) !== 0) return -errno.EPERM;
    const place = this.#places.get(offset);
    if (place === undefined || Math.ceil(length / pageSize) * pageSize !== place.pages.byteLength) return -errno.ENXIO;
    return new ExposedMapping(file, place, length, protection);
  }
}

/** While it is there, neither the object can be destroyed nor the file end. */
class ExposedMapping extends CheckedMapping {
  readonly memory = undefined;
  readonly #file: OpenFile;
  readonly #place: Place;

  constructor(file: OpenFile, place: Place, length: number, protection: number) {
    super(length, protection);
    this.#file = file;
    this.#place = place;
    file.retain();
    place.owner.users += 1;
  }

  protected override load(offset: number, width: Width): bigint {
    return loadBytes(this.#place.pages, offset, width);
  }

  protected override store(offset: number, width: Width, value: bigint): void {
    storeBytes(this.#place.pages, offset, width, value);
  }

  protected override release(): void {
    this.#place.owner.users -= 1;
    this.#file.drop();
  }
}
