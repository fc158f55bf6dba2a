/** Arm's SMMUv3, as the kernel's arm-smmu-v3 shows it to /dev/iommu. The order of checks is that of arm-smmu-v3-iommufd.c. */
import { errno } from '../../../abi/errno.js';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
  iommu_hw_info_arm_smmuv3,
  iommu_viommu_arm_smmuv3_invalidate,
} from '../../../abi/iommufd/hwpt.js';
import { IOMMU_VIOMMU_TYPE_ARM_SMMUV3 } from '../../../abi/iommufd/viommu.js';
import { BasicIommu } from '../basic-iommu.js';
import type {
  HardwareInformation,
  Invalidated,
  MakeVirtualIommu,
  NestedDomain,
  PagingDomain,
  VirtualIommuHardware,
  VirtualIommuHost,
  Stage2,
} from '../hardware.js';
import type { UserData, UserDataArray } from '../user-data.js';
import { decodeCommand, type Command } from './commands.js';
import { SmmuNestedDomain } from './nested.js';

/** Registers: both stages, AArch64 tables, numbers of 16 bits; commands for ranges; 48 bits of addresses, pages of 4 KiB. */
const identification = [0x0004_101b, 0, 0, 0x0000_0500, 0, 0x0000_0015] as const;
/** How many commands the driver gives the hardware at once. */
const batch = 63;

export class SmmuIommu extends BasicIommu {
  override hardwareInformation(type: number): HardwareInformation | number {
    if (type !== IOMMU_HW_INFO_TYPE_DEFAULT && type !== IOMMU_HW_INFO_TYPE_ARM_SMMUV3) return -errno.EOPNOTSUPP;
    const information = iommu_hw_info_arm_smmuv3.create();
    information.idr.set(identification);
    return { type: IOMMU_HW_INFO_TYPE_ARM_SMMUV3, data: information.bytes };
  }

  override allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    const parent = flags === IOMMU_HWPT_ALLOC_NEST_PARENT && this.has('nesting');
    const known = (flags & ~(IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID)) === 0;
    return (parent || known) && data === undefined ? this.domain(flags) : -errno.EOPNOTSUPP;
  }

  virtualIommus(type: number): MakeVirtualIommu | undefined {
    if (!this.has('nesting') || type !== IOMMU_VIOMMU_TYPE_ARM_SMMUV3) return undefined;
    return (host, parent) => (parent.domain.driver === this.driver ? new VirtualSmmu(this.driver, host, parent) : -errno.EINVAL);
  }

  /** A stream with a page table of the guest has to have a number of the guest's. */
  override attach(domain: PagingDomain | NestedDomain): number {
    if (!(domain instanceof SmmuNestedDomain)) return 0;
    const stream = domain.host.virtualId(this);
    if (stream === undefined) return domain.entry.hasTable ? -errno.ENOENT : 0;
    // Devices that share a guest's table are not told apart: it has the number of the last.
    domain.stream = stream;
    return 0;
  }
}

class VirtualSmmu implements VirtualIommuHardware {
  readonly #driver: object;
  readonly #host: VirtualIommuHost;
  readonly #parent: Stage2;
  readonly #domains = new Set<SmmuNestedDomain>();

  constructor(driver: object, host: VirtualIommuHost, parent: Stage2) {
    this.#driver = driver;
    this.#host = host;
    this.#parent = parent;
  }

  allocateNested(flags: number, data: UserData): NestedDomain | number {
    if (flags !== 0) return -errno.EOPNOTSUPP;
    const domain = SmmuNestedDomain.create(this.#driver, this.#host, this.#parent, data);
    if (typeof domain !== 'number') this.#domains.add(domain);
    return domain;
  }

  /** Commands before a refused one are counted, and those of its batch are not done. */
  invalidate(entries: UserDataArray): Invalidated {
    const given = entries.all(IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, iommu_viommu_arm_smmuv3_invalidate);
    if (typeof given === 'number') return { handled: 0, result: given };
    const waiting: Command[] = [];
    for (const [handled, { cmd }] of given.entries()) {
      const command = decodeCommand([cmd[0] ?? 0n, cmd[1] ?? 0n]);
      if (typeof command === 'number') return { handled, result: command };
      if (command.kind === 'stream' && this.#host.device(command.stream) === undefined) return { handled, result: -errno.EIO };
      waiting.push(command);
      if (waiting.length === batch) this.#issue(waiting.splice(0));
    }
    this.#issue(waiting);
    return { handled: given.length, result: 0 };
  }

  #issue(commands: readonly Command[]): void {
    for (const command of commands) for (const domain of this.#domains) domain.drop(command);
  }
}
