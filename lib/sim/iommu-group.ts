import type { Translation } from './dma.js';
import type { VfioDevice } from './vfio-device.js';

/** A device of a group: a `PciSlot`, or a mediated device. */
interface Member {
  readonly address: string;
  /** Its folder below /sys. */
  readonly path: string;
  readonly driver: string | undefined;
  readonly vfio: VfioDevice | undefined;
}

/**
 * What stands behind a group: an IOMMU; nothing, so that devices reach all memory; or a driver that does its DMA by the
 * processor, as mediated devices do.
 */
export type GroupKind = 'iommu' | 'noiommu' | 'emulated';

/** Devices the IOMMU cannot tell apart, and who owns their DMA. */
export class IommuGroup {
  readonly number: number;
  readonly kind: GroupKind;
  readonly slots: Member[] = [];
  /** The one open fd of /dev/vfio/NUMBER: a `GroupFile`. */
  opened: { revoke(): void } | undefined;
  /** What translates the devices' DMA while VFIO owns the group; without it, none reaches memory. */
  domain: Translation['domain'];
  #claimed = false;

  constructor(number: number, kind: GroupKind = 'iommu') {
    this.number = number;
    this.kind = kind;
  }

  /** /dev/vfio/NUMBER exists while a device is bound to a VFIO driver. */
  get present(): boolean {
    return this.slots.some((slot) => slot.vfio !== undefined);
  }

  get claimed(): boolean {
    return this.#claimed;
  }

  /** A host driver in the group does DMA of its own; then nobody else may own the group. */
  get ownedByHost(): boolean {
    return this.slots.some((slot) => slot.driver !== undefined && slot.vfio === undefined);
  }

  /** iommu_group_claim_dma_owner. */
  claim(): boolean {
    if (this.#claimed || this.ownedByHost) return false;
    this.#claimed = true;
    return true;
  }

  unclaim(): void {
    this.#claimed = false;
  }

  /** Its last device went for good. Who has the group open keeps a file that leads nowhere. */
  revoke(): void {
    this.slots.length = 0;
    this.opened?.revoke();
  }
}

/** The lowest number no group has, as the kernel gives them. */
export function freeNumber(groups: Iterable<IommuGroup>): number {
  const taken = new Set(Array.from(groups, (group) => group.number));
  let number = 0;
  while (taken.has(number)) number += 1;
  return number;
}
