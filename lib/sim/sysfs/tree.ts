/** What a simulated machine shows below /sys, /proc and /dev. */
import { command, directory, line, link, rootAccess, type DeviceNode, type FileNode } from '../file-node.js';
import type { GroupTable } from '../group-table.js';
import type { MdevBus } from '../mdev/parent.js';
import { hasIommufd, type Platform } from '../platform.js';
import type { PciSlot } from '../slot.js';
import { hugePageEntries, procEntries, processEntries } from '../procfs.js';
import { bySlot } from './by-slot.js';
import { groupDirectory } from './iommu-group.js';
import { moduleEntries } from './modules.js';
import { deviceDirectory } from './pci-device.js';
import { driverDirectory, probe } from './pci-driver.js';

export interface Inventory {
  readonly platform: Platform;
  readonly slots: readonly PciSlot[];
  readonly groups: GroupTable;
  readonly mediated: MdevBus;
}

export function fileTree({ platform, slots, groups, mediated }: Inventory): FileNode {
  // Numbers and modes as the kernel gives them; udev makes /dev/vfio/vfio no wider than it is.
  const container: DeviceNode = { kind: 'device', device: '10:196', access: rootAccess(0o666) };
  const iommu: DeviceNode = { kind: 'device', device: '10:125', access: rootAccess(0o660) };
  const drivers = (): string[] => [...new Set(['vfio-pci', ...slots.flatMap((slot) => slot.driver ?? slot.hostDriver ?? [])])];
  return directory(() => ({
    dev: directory(() => ({
      ...(hasIommufd(platform) && { iommu }),
      vfio: directory(() => ({
        vfio: container,
        ...deviceNodes(groups),
        ...groupNodes(groups),
      })),
    })),
    proc: directory(() => ({
      ...procEntries(platform),
      self: directory(() => ({
        auxv: { kind: 'file', read: auxiliaryVector },
        pagemap: { kind: 'device', device: '0:0', access: rootAccess(0o666) },
        ...processEntries(platform),
      })),
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
        misc: directory(() => ({
          vfio: numbersOf(container),
          ...(hasIommufd(platform) && { iommu: numbersOf(iommu) }),
        })),
        vfio: directory(() => Object.fromEntries(Object.entries(groupNodes(groups)).map(([name, node]) => [name, numbersOf(node)]))),
        ...mediated.classEntries,
      })),
      devices: directory(() => ({
        'pci0000:00': directory(() => bySlot(slots, (slot) => deviceDirectory(slot, slots, platform.process))),
        system: directory(() => ({ node: directory(() => ({ node0: directory(() => ({})) })) })),
        ...mediated.deviceEntries,
      })),
      kernel: directory(() => ({
        mm: directory(() => ({ hugepages: directory(hugePageEntries) })),
        iommu_groups: directory(() =>
          Object.fromEntries([...groups].map((group) => [String(group.number), groupDirectory(group, platform)])),
        ),
      })),
      module: directory(() => moduleEntries(platform)),
    })),
  }));
}

function groupNodes(groups: GroupTable): Record<string, DeviceNode> {
  const present = [...groups].filter((group) => group.present);
  return Object.fromEntries(
    present.map(({ node, number, access }) => [node, { kind: 'device', device: `510:${number}`, access } satisfies DeviceNode]),
  );
}

/** Where a class lists a node, with its two numbers. */
function numbersOf({ device }: DeviceNode): FileNode {
  return directory(() => ({ dev: line(() => device) }));
}

function deviceNodes({ nodes }: GroupTable): Record<string, FileNode> {
  const entries = Object.fromEntries(
    nodes.all.map(({ name, device, access }) => [name, { kind: 'device', device, access } satisfies FileNode]),
  );
  return nodes.all.length === 0 ? {} : { devices: directory(() => entries) };
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
