import { errno } from '../../abi/errno.js';

/** A PASID has 20 bits on PCI Express. */
export const lastPasid = 0xf_ffff;

/**
 * The machine's PASIDs and the containers they belong to. One space for all of them: devices of two containers may
 * share an IOMMU, which tells their requests apart by the PASID.
 */
export class PasidAllocator {
  readonly #owners = new Map<number, object>();

  /** The lowest free one from `min` to `max`, or -errno. 0 is what requests without a PASID go by, and never given out. */
  allocate(owner: object, min: number, max: number): number {
    if (min > max || max > lastPasid) return -errno.EINVAL;
    for (let pasid = Math.max(min, 1); pasid <= max; pasid += 1) {
      if (this.#owners.has(pasid)) continue;
      this.#owners.set(pasid, owner);
      return pasid;
    }
    return -errno.ENOSPC;
  }

  belongsTo(owner: object, pasid: number): boolean {
    return this.#owners.get(pasid) === owner;
  }

  free(pasid: number): void {
    this.#owners.delete(pasid);
  }

  freeAll(owner: object): void {
    for (const [pasid, other] of this.#owners) if (other === owner) this.#owners.delete(pasid);
  }
}
