/** What a simulated machine shows below /sys and /dev. */
import { errno } from '../abi/errno.js';
import { PCI_INTERRUPT_PIN } from '../abi/pci.js';
import { nodeEntries } from './device-nodes.js';
import type { GroupTable } from './group-table.js';
import { command, directory, line, link, text, type FileNode } from './files.js';
import type { IommuGroup } from './iommu-group.js';
import type { MdevBus } from './mdev/parent.js';
import { hasIommufd, type Platform } from './platform.js';
import type { PciSlot } from './slot.js';

export interface Inventory {
  readonly platform: Platform;
  readonly slots: readonly PciSlot[];
  readonly groups: GroupTable;
  readonly mediated: MdevBus;
}

export function fileTree({ platform, slots, groups, mediated }: Inventory): FileNode {
  const drivers = (): string[] => [...new Set(['vfio-pci', ...slots.flatMap((slot) => slot.driver ?? slot.hostDriver ?? [])])];
  return directory(() => ({
    dev: directory(() => ({
      ...(hasIommufd(platform) && { iommu: { kind: 'device' as const } }),
      vfio: directory(() => ({
        vfio: { kind: 'device' },
        ...deviceNodes(groups),
        ...Object.fromEntries([...groups].filter((group) => group.present).map((group) => [group.node, { kind: 'device' }])),
      })),
    })),
    proc: directory(() => ({
      self: directory(() => ({ auxv: { kind: 'file', read: auxiliaryVector }, pagemap: { kind: 'device' } })),
    })),
    sys: directory(() => ({
      bus: directory(() => ({
        pci: directory(() => ({
          devices: directory(() => bySlot(slots, (slot) => link(() => `../../../${slot.path}`))),
          drivers: directory(() => Object.fromEntries(drivers().map((name) => [name, driverDirectory(name, slots)]))),
          drivers_probe: command((text) => probe(slots, text)),
        })),
        ...mediated.busEntries,
      })),
      class: directory(() => ({
        iommu: directory(() => Object.fromEntries(iommuUnits[platform.iommu.kind].map((unit) => [unit, directory(() => ({}))]))),
        ...mediated.classEntries,
      })),
      devices: directory(() => ({
        'pci0000:00': directory(() => bySlot(slots, deviceDirectory)),
        system: directory(() => ({ node: directory(() => ({ node0: directory(() => ({})) })) })),
        ...mediated.deviceEntries,
      })),
      kernel: directory(() => ({
        iommu_groups: directory(() =>
          Object.fromEntries([...groups].map((group) => [String(group.number), groupDirectory(group, platform)])),
        ),
      })),
      module: directory(() => ({
        ...iommuModules(platform),
        vfio: directory(() => ({
          parameters: directory(() => ({
            enable_unsafe_noiommu_mode: line(
              () => (platform.unsafeNoIommu ? 'Y' : 'N'),
              (text) => setUnsafeNoIommu(platform, text),
            ),
          })),
        })),
      })),
    })),
  }));
}

function deviceNodes({ nodes: { names } }: GroupTable): Record<string, FileNode> {
  if (names.length === 0) return {};
  return { devices: directory(() => Object.fromEntries(names.map((name) => [name, { kind: 'device' }]))) };
}

/** Where iommufd is the container there is no type1. */
function iommuModules(platform: Platform): Record<string, FileNode> {
  if (platform.iommu.kind === 'spapr') return { vfio_iommu_spapr_tce: directory(() => ({})) };
  return platform.container === 'vfio' ? { vfio_iommu_type1: type1Module(platform) } : {};
}

function type1Module(platform: Platform): FileNode {
  return directory(() => ({
    parameters: directory(() => ({
      allow_unsafe_interrupts: line(() => (platform.allowUnsafeInterrupts ? 'Y' : 'N')),
      dma_entry_limit: line(
        () => String(platform.entryLimit),
        (text) => setEntryLimit(platform, text),
      ),
    })),
  }));
}

function setEntryLimit(platform: Platform, text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0 || limit > 0xffff_ffff) return -errno.EINVAL;
  platform.entryLimit = limit;
  return 0;
}

/** As the kernel reads booleans, by their first letters; a write of nothing is none. */
function setUnsafeNoIommu(platform: Platform, text: string): number {
  if (text === '') return 0;
  const [, yes, no] = /^(?:([yt1]|on)|([nf0]|of))/i.exec(text) ?? [];
  if (yes === undefined && no === undefined) return -errno.EINVAL;
  platform.unsafeNoIommu = yes !== undefined;
  return 0;
}

/** Pairs of numbers of 64 bits, of which this one, AT_PAGESZ, says how large a page is. */
function auxiliaryVector(): string {
  const pair = new BigUint64Array([6n, 4096n, 0n, 0n]);
  return new TextDecoder().decode(pair);
}

/** The name each kind of IOMMU's first unit has in /sys/class/iommu. */
const iommuUnits = {
  intel: ['dmar0'],
  amd: ['ivhd0'],
  virtio: ['virtio0'],
  smmuv3: ['smmu3.0x0000000009050000'],
  spapr: ['iommu-phb0000'],
  none: [],
} as const;

function bySlot<S extends { readonly address: string }>(slots: readonly S[], node: (slot: S) => FileNode): Record<string, FileNode> {
  return Object.fromEntries(slots.map((slot) => [slot.address, node(slot)]));
}

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

function deviceDirectory(slot: PciSlot): FileNode {
  const { identity, config } = slot.pciFunction;
  return directory(() => ({
    vendor: line(() => hex(identity.vendor, 4)),
    device: line(() => hex(identity.device, 4)),
    class: line(() => hex(identity.classCode, 6)),
    revision: line(() => hex(identity.revision ?? 0, 2)),
    subsystem_vendor: line(() => hex(identity.subsystemVendor ?? 0, 4)),
    subsystem_device: line(() => hex(identity.subsystemDevice ?? 0, 4)),
    irq: line(() => (config.getUint8(PCI_INTERRUPT_PIN) === 0 ? '0' : '11')),
    numa_node: line(() => '-1'),
    driver_override: line(
      () => slot.driverOverride ?? '(null)',
      (text) => override(slot, text),
    ),
    ...(slot.vfioName !== undefined && nodeEntries(slot.vfioName, slot.node !== undefined)),
    ...(slot.group !== undefined && { iommu_group: link(() => `../../../kernel/iommu_groups/${slot.group?.number}`) }),
    ...(slot.driver !== undefined && { driver: link(() => `../../../bus/pci/drivers/${slot.driver}`) }),
  }));
}

function groupDirectory(group: IommuGroup, platform: Platform): FileNode {
  return directory(() => ({
    devices: directory(() => bySlot(group.slots, (slot) => link(() => `../../../../${slot.path}`))),
    // A group that no IOMMU made, for a device without one, has a name.
    ...(group.kind === 'noiommu' && { name: line(() => 'vfio-noiommu') }),
    // Where no IOMMU is there is no type, and the kernel has no name for the kind of domain that POWER's default is.
    type: line(() => (group.kind === 'iommu' && platform.iommu.kind !== 'spapr' ? 'DMA' : 'unknown')),
    reserved_regions: text(() =>
      (group.kind === 'iommu' ? platform.iommu.reserved : [])
        .map(({ start, last, type }) => `0x${start.toString(16).padStart(16, '0')} 0x${last.toString(16).padStart(16, '0')} ${type}\n`)
        .join(''),
    ),
  }));
}

function driverDirectory(name: string, slots: readonly PciSlot[]): FileNode {
  const bound = slots.filter((slot) => slot.driver === name);
  return directory(() => ({
    bind: command((text) => bind(slots, name, text)),
    unbind: command((text) => unbind(bound, text)),
    ...bySlot(bound, (slot) => link(() => `../../../../${slot.path}`)),
  }));
}

/** A newline clears it; a write of nothing does not. */
function override(slot: PciSlot, text: string): number {
  const name = text.replace(/\n.*$/s, '');
  slot.driverOverride = name === '' ? undefined : name;
  return 0;
}

/** The driver the bus would pick: the override alone if there is one. vfio-pci takes nothing by itself. */
function matching(slot: PciSlot): string | undefined {
  return slot.driverOverride ?? slot.hostDriver;
}

function probe(slots: readonly PciSlot[], text: string): number {
  const slot = slots.find(({ address }) => address === text.trim());
  if (slot === undefined) return -errno.ENODEV;
  const driver = matching(slot);
  if (slot.driver !== undefined || driver === undefined) return 0;
  if (heldByVfio(slot, driver)) return -errno.EBUSY;
  // That the driver refuses is not told here: another could have taken the device.
  slot.bind(driver);
  return 0;
}

function bind(slots: readonly PciSlot[], driver: string, text: string): number {
  const slot = slots.find(({ address }) => address === text.trim());
  // The driver that has it matches it, by whatever it did when it took it.
  if (slot === undefined || (slot.driver !== driver && matching(slot) !== driver)) return -errno.ENODEV;
  return slot.driver !== undefined || heldByVfio(slot, driver) ? -errno.EBUSY : slot.bind(driver);
}

/** A host driver cannot take a device whose group VFIO owns. */
function heldByVfio(slot: PciSlot, driver: string): boolean {
  return driver !== 'vfio-pci' && slot.group?.claimed === true;
}

function unbind(bound: readonly PciSlot[], text: string): number {
  const slot = bound.find(({ address }) => address === text.trim());
  if (slot === undefined) return -errno.ENODEV;
  if (slot.vfio?.isHeld === true) {
    // The real kernel asks the holder by the REQ interrupt and makes the writer wait until the device is let go; here
    // waiting would stop the only thread there is, so the write is refused and can be repeated. `Machine.unbind` waits.
    if (slot.vfio.isOpen) slot.vfio.askBack();
    return -errno.EBUSY;
  }
  slot.unbind();
  return 0;
}
