import { isAddress, parseAddress } from './address.js';
import { checkKernel, list, readLinkName, readText, readTextIfAny, type WithFiles } from './sysfs.js';
import { check, checkedInteger, expected, KernelError } from '../kernel/error.js';

/** Where sysfs lists PCI devices. */
export const devicesPath = '/sys/bus/pci/devices';

const nodesPath = '/dev/vfio/devices';

/** What sysfs says of a PCI device, read once. */
export interface PciDevice {
  /** '0000:01:00.0' */
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  /** Base class, sub-class and programming interface, 24 bits. */
  readonly classCode: number;
  /** The driver that has it. */
  readonly driver: string | undefined;
  /** Its own node, '/dev/vfio/devices/vfio0', where a VFIO driver has it and the kernel has such nodes. Linux 6.6. */
  readonly node: string | undefined;
  /** The number of its IOMMU group; undefined without an IOMMU. */
  readonly group: number | undefined;
  /**
   * It is in the hands of vfio's no-IOMMU mode: no IOMMU stands between the device and memory, its group's node is called
   * /dev/vfio/noiommu-GROUP, and its own, if it has one, /dev/vfio/devices/noiommu-vfio0. Linux 4.5, nodes 7.3.
   */
  readonly noIommu: boolean;
}

/** @throws KernelError ENOENT when there is no such device. */
export function findDevice(kernel: WithFiles, address: string): PciDevice {
  checkKernel(kernel);
  const name = parseAddress(address);
  const path = `${devicesPath}/${name}`;
  check(kernel.files.access(path), { syscall: 'access', path });
  const number = (file: string): number => Number(readText(kernel, `${path}/${file}`));
  const group = readLinkName(kernel, `${path}/iommu_group`);
  const node = findNode(kernel, path);
  return {
    address: name,
    vendor: number('vendor'),
    device: number('device'),
    classCode: number('class'),
    driver: readLinkName(kernel, `${path}/driver`),
    node,
    group: group === undefined ? undefined : Number(group),
    noIommu: node?.startsWith(`${nodesPath}/noiommu-`) === true || (group !== undefined && isNoIommu(kernel, group)),
  };
}

/** The node of its group, '/dev/vfio/12', which is there while VFIO has a device of it. */
export function groupNode({ group, noIommu }: PciDevice): string | undefined {
  return group === undefined ? undefined : `/dev/vfio/${noIommu ? 'noiommu-' : ''}${group}`;
}

/** The nodes through which VFIO gives a device to programs: its group's, and its own. */
export function nodesOf(device: PciDevice): string[] {
  return [groupNode(device), device.node].filter((node) => node !== undefined);
}

/** The node of the device in that folder. Without nodes of devices, the kernel lists the device and gives it no number. */
export function findNode(kernel: WithFiles, path: string): string | undefined {
  const name = list(kernel, `${path}/vfio-dev`).find((each) => kernel.files.access(`${path}/vfio-dev/${each}/dev`) === 0);
  return name && `${nodesPath}/${name}`;
}

/** The kernel names the groups that vfio makes by itself; those of an IOMMU have no name. */
function isNoIommu(kernel: WithFiles, group: string): boolean {
  return readTextIfAny(kernel, `/sys/kernel/iommu_groups/${group}/name`) === 'vfio-noiommu';
}

/** All PCI devices, or those whose ids are the given ones, in address order. @throws RangeError for ids that are none */
export function findDevices(kernel: WithFiles, ids: { vendor?: number; device?: number } = {}): PciDevice[] {
  checkKernel(kernel);
  for (const [name, value] of Object.entries(ids)) {
    // One that is passed over would find every device.
    if (name !== 'vendor' && name !== 'device') throw expected('vendor or device', 'ids', name);
    if (value !== undefined) checkedInteger(name, value, 0xffff);
  }
  return list(kernel, devicesPath)
    .sort()
    .flatMap((address) => {
      try {
        return [findDevice(kernel, address)];
      } catch (error) {
        // Unplugged between the listing and the look.
        if (error instanceof KernelError && (error.code === 'ENOENT' || error.code === 'ENODEV')) return [];
        throw error;
      }
    })
    .filter(({ vendor, device }) => (ids.vendor ?? vendor) === vendor && (ids.device ?? device) === device);
}

/** The PCI devices of an IOMMU group, in address order. */
export function groupDevices(kernel: WithFiles, group: number): PciDevice[] {
  return list(kernel, `/sys/kernel/iommu_groups/${group}/devices`)
    .filter(isAddress)
    .sort()
    .map((address) => findDevice(kernel, address));
}
