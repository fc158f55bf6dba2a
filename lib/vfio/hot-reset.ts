import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_DEVID_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../abi/vfio/reset.js';
import { BadAnswerError } from '../abi/chain.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { KernelError } from '../kernel/error.js';

/** A function that a reset of the bus takes along. */
export interface DependentDevice {
  /** '0000:02:00.0' */
  readonly address: string;
  /** Its IOMMU group; undefined where the answer is by iommufd. */
  readonly group: number | undefined;
  /** Its id in this process's iommufd; undefined where it has none there, or the answer is by group. */
  readonly id: number | undefined;
  /** Whether this process's iommufd has it; undefined where the answer is by group. */
  readonly owned: boolean | undefined;
}

export interface HotResetInfo {
  readonly devices: readonly DependentDevice[];
  /** Whether this process's iommufd has all of them; undefined where the answer is by group. */
  readonly allOwned: boolean | undefined;
}

/** More functions than a bus can have. */
const mostDevices = 256 * 8;

/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, with as much room as it takes. */
export function readHotResetInfo(descriptor: Descriptor): HotResetInfo {
  for (let room = 8; room <= mostDevices; room *= 2) {
    const info = vfio_pci_hot_reset_info.create(room * vfio_pci_dependent_device.size);
    info.argsz = info.bytes.byteLength;
    try {
      descriptor.ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info.bytes);
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENOSPC') continue;
      throw error;
    }
    const byId = (info.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID) !== 0;
    return {
      devices: info.devices.map((device) => ({ address: addressOf(device), ...(byId ? owner(device.devid) : groupOf(device.group_id)) })),
      allOwned: byId ? (info.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED) !== 0 : undefined,
    };
  }
  throw new BadAnswerError(`a bus with more than ${mostDevices} functions`, new Uint8Array());
}

/** VFIO_DEVICE_PCI_HOT_RESET. */
export function requestHotReset(descriptor: Descriptor, groupFds: readonly number[]): void {
  const request = vfio_pci_hot_reset.create(groupFds.length * 4);
  request.argsz = request.bytes.byteLength;
  request.flags = 0;
  request.count = groupFds.length;
  request.group_fds.set(groupFds);
  descriptor.ioctl(VFIO_DEVICE_PCI_HOT_RESET, request.bytes);
}

function groupOf(group: number): Omit<DependentDevice, 'address'> {
  return { group, id: undefined, owned: undefined };
}

function owner(devid: number): Omit<DependentDevice, 'address'> {
  const owned = devid !== VFIO_PCI_DEVID_NOT_OWNED;
  return { group: undefined, id: owned && devid !== VFIO_PCI_DEVID_OWNED ? devid : undefined, owned };
}

function addressOf({ segment, bus, devfn }: { segment: number; bus: number; devfn: number }): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${hex(segment, 4)}:${hex(bus, 2)}:${hex(devfn >> 3, 2)}.${devfn & 7}`;
}
