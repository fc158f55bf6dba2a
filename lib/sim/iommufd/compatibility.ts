/** What the requests of VFIO, which have no room for an id, are about when they are made on /dev/iommu. */
import { errno } from '../../abi/errno.js';
import type { GroupKind } from '../iommu-group.js';
import type { Platform } from '../platform.js';
import { Ioas } from './ioas.js';
import type { ObjectTable } from './objects.js';

export class Compatibility {
  readonly #platform: Platform;
  readonly #objects: ObjectTable;
  #ioas: Ioas | undefined;
  #noIommu = false;

  constructor(platform: Platform, objects: ObjectTable) {
    this.#platform = platform;
    this.#objects = objects;
  }

  /** A group without an IOMMU joined: from then on none with one does, whether that one left or not. */
  get noIommu(): boolean {
    return this.#noIommu;
  }

  /** The address space, while there is one. One that is destroyed is none. */
  get ioas(): Ioas | undefined {
    return this.#ioas !== undefined && this.#objects.has(this.#ioas) ? this.#ioas : undefined;
  }

  set ioas(ioas: Ioas | undefined) {
    this.#ioas = ioas;
  }

  /** A group is put into the file, which makes an address space if there is none: 0 or -errno. */
  join(kind: GroupKind): number {
    const { ioas } = this;
    if (kind === 'noiommu') {
      if (ioas !== undefined) return -errno.EINVAL;
      this.#noIommu = true;
      return 0;
    }
    if (this.#noIommu) return -errno.EINVAL;
    if (ioas === undefined) {
      this.#ioas = new Ioas(this.#platform);
      this.#objects.add(this.#ioas);
    }
    return 0;
  }
}
