import { rootAccess, type Access } from './file-node.js';
import type { Translation } from './dma.js';
import type { Endpoint } from './spapr/eeh.js';
import type { VfioDevice } from './vfio-device.js';

/** A device of a group: a `PciSlot`, or a mediated device. */
interface Member {
  readonly address: string;
  /** Its folder below /sys. */
  readonly path: string;
  readonly driver: string | undefined;
  readonly vfio: VfioDevice | undefined;
  /** The bus resets it, where it is on one. */
  hotReset?(): void;
}

/**
 * What stands behind a group: an IOMMU; nothing, so that devices reach all memory; or a driver that does its DMA by the
 * processor, as mediated devices do.
 */
export type GroupKind = 'iommu' | 'noiommu' | 'emulated';

/** The open file of a group. */
interface GroupFile {
  /** The group ends while its file is open: nothing can be done with it any more. */
  revoke(): void;
}

/** Devices the IOMMU cannot tell apart, and who owns their DMA. */
export class IommuGroup {
  readonly number: number;
  readonly kind: GroupKind;
  readonly slots: Member[] = [];
  /** The one open file of its node. */
  opened: GroupFile | undefined;
  /** What translates the devices' DMA while VFIO owns the group; without it, none reaches memory. */
  domain: Translation['domain'];
  /** What isolates the devices after an error, on machines that do so. */
  endpoint: Endpoint | undefined;
  /** Devices of it that are bound by their own nodes; its file cannot be opened then. */
  cdevsOpen = 0;
  /** Who may open its node: root alone, each time that the node comes. */
  access: Access = rootAccess(0o600);
  #owner: object | undefined;
  #claims = 0;

  constructor(number: number, kind: GroupKind = 'iommu') {
    this.number = number;
    this.kind = kind;
  }

  /** What its node is called in /dev/vfio. */
  get node(): string {
    return this.kind === 'noiommu' ? `noiommu-${this.number}` : String(this.number);
  }

  /** The node exists while a device is bound to a VFIO driver. */
  get present(): boolean {
    return this.slots.some((slot) => slot.vfio !== undefined);
  }

  get dmaStopped(): boolean {
    return this.endpoint?.dmaStopped ?? false;
  }

  get claimed(): boolean {
    return this.#claims > 0;
  }

  /** A host driver in the group does DMA of its own; then nobody else may own the group. */
  get ownedByHost(): boolean {
    return this.slots.some((slot) => slot.driver !== undefined && slot.vfio === undefined);
  }

  /** iommu_device_claim_dma_owner, which is asked only where there is an IOMMU: once, or again by the same owner. */
  claim(owner: object): boolean {
    if (this.kind !== 'iommu') return true;
    if (this.ownedByHost || (this.#claims > 0 && this.#owner !== owner)) return false;
    this.#owner = owner;
    this.#claims += 1;
    return true;
  }

  unclaim(): void {
    if (this.kind === 'iommu') this.#claims -= 1;
  }
}
