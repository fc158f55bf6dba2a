/** Resetting a bus with all that is on it. The order of checks is that of the kernel's vfio_pci_core.c. */
import { errno } from '../../abi/errno.js';
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
} from '../../abi/vfio/reset.js';
import type { Argument } from '../argument.js';
import type { FdTable } from '../open-file.js';
import type { DeviceBinding } from '../vfio-device.js';

/** A function on the same bus: a `PciSlot`. */
export interface Neighbour {
  /** '0000:02:00.0' */
  readonly address: string;
  readonly group: { readonly number: number; readonly opened: object | undefined } | undefined;
  /** Set while vfio-pci has it. */
  readonly vfio: Pick<ResetCaller, 'binding' | 'powerUp'> | undefined;
  /** What it is a virtual function of. */
  readonly physical: object | undefined;
  resetWithBus(): void;
}

/** The device that is asked. */
export interface ResetCaller {
  readonly bus: readonly Neighbour[] | undefined;
  readonly binding: DeviceBinding | undefined;
  /** Wherever it was put, it is awake from now on. */
  powerUp(): void;
}

/**
 * Whether a reset by the one takes the other into account: VFIO's set of devices that are reset together. A virtual
 * function is in none but its own, so that what shares a bus with one cannot be reset.
 */
function inSet({ vfio, physical }: Neighbour, caller: ResetCaller): boolean {
  if (vfio === undefined || vfio === caller) return vfio !== undefined;
  return physical === undefined && !caller.bus?.some((each) => each.vfio === caller && each.physical !== undefined);
}

export function getHotResetInfo(caller: ResetCaller, argument: Argument): number {
  const { bus, binding } = caller;
  const { minimum } = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO;
  const info = argument.struct(vfio_pci_hot_reset_info, minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < minimum) return -errno.EINVAL;
  if (bus === undefined) return -errno.ENODEV;
  info.flags = 0;
  info.count = bus.length;
  const fits = bus.length <= Math.floor((info.argsz - minimum) / vfio_pci_dependent_device.size);
  if (fits) {
    if (binding === undefined && bus.some(({ group }) => group === undefined)) return -errno.EPERM;
    const ids = bus.map((neighbour) => (binding === undefined ? (neighbour.group?.number ?? 0) : idOf(neighbour, caller, binding)));
    if (binding !== undefined)
      info.flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | (ids.includes(VFIO_PCI_DEVID_NOT_OWNED) ? 0 : VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
    if (!argument.copyTo(describe(bus, ids), minimum)) return -errno.EFAULT;
  }
  if (!argument.copyTo(info.bytes)) return -errno.EFAULT;
  return fits ? 0 : -errno.ENOSPC;
}

/** vfio_iommufd_get_dev_id: what the owner of a device calls another. One of its groups is nobody else's. */
function idOf(neighbour: Neighbour, caller: ResetCaller, { iommufd }: DeviceBinding): number {
  const { vfio, group } = neighbour;
  if (!inSet(neighbour, caller)) return VFIO_PCI_DEVID_NOT_OWNED;
  if (vfio?.binding?.iommufd === iommufd) return vfio.binding.id;
  return group !== undefined && iommufd.hasGroup(group) ? VFIO_PCI_DEVID_OWNED : VFIO_PCI_DEVID_NOT_OWNED;
}

/** `ids` are of groups, or of iommufd. */
function describe(bus: readonly Neighbour[], ids: readonly number[]): Uint8Array {
  const list = vfio_pci_hot_reset_info.create(bus.length * vfio_pci_dependent_device.size);
  list.count = bus.length;
  bus.forEach(({ address }, index) => {
    const [segment, number, slot] = address.split(/[:.](?=[0-9a-f]{2}(?::|\.))/);
    const [device, functionNumber] = (slot ?? '').split('.');
    const element = list.devices[index];
    if (element === undefined) return;
    element.group_id = ids[index] ?? 0;
    element.segment = parseInt(segment ?? '', 16);
    element.bus = parseInt(number ?? '', 16);
    element.devfn = (parseInt(device ?? '', 16) << 3) | Number(functionNumber);
  });
  return list.bytes.subarray(vfio_pci_hot_reset_info.size);
}

/** The caller proves by the fds of their groups, or by its own /dev/iommu, that it has all that goes along. */
export function hotReset(caller: ResetCaller, argument: Argument, fds: FdTable): number {
  const { bus, binding } = caller;
  const { minimum } = VFIO_DEVICE_PCI_HOT_RESET;
  const request = argument.struct(vfio_pci_hot_reset, minimum);
  if (request === undefined) return -errno.EFAULT;
  const { argsz, flags, count } = request;
  if (argsz < minimum || flags !== 0 || (count === 0) === (binding === undefined)) return -errno.EINVAL;
  if (bus === undefined) return -errno.ENODEV;
  const groups = new Set<object | undefined>();
  if (count > bus.length) return -errno.EINVAL;
  const bytes = argument.copyFrom(count * 4, minimum);
  if (bytes === undefined) return -errno.EFAULT;
  for (const fd of new Int32Array(bytes.buffer)) {
    const file = fds.lookup(fd);
    if (file === undefined) return -errno.EBADF;
    if (!file.isGroup) return -errno.EINVAL;
    groups.add(file);
  }
  const owns = (neighbour: Neighbour): boolean =>
    binding === undefined
      ? inSet(neighbour, caller) && groups.has(neighbour.group?.opened)
      : idOf(neighbour, caller, binding) !== VFIO_PCI_DEVID_NOT_OWNED;
  if (!bus.every(owns)) return -errno.EINVAL;
  // One that loses its registers on its way from D3 gets back those it had before; the reset would find them lost.
  for (const { vfio } of bus) vfio?.powerUp();
  for (const neighbour of bus) neighbour.resetWithBus();
  return 0;
}
