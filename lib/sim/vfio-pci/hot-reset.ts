/** Resetting a bus with all that is on it. The order of checks is that of the kernel's vfio_pci_core.c. */
import { errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../abi/vfio/reset.js';
import type { Argument } from '../argument.js';
import type { FdTable } from '../open-file.js';

/** A function on the same bus: a `PciSlot`. */
export interface Neighbour {
  /** '0000:02:00.0' */
  readonly address: string;
  readonly group: { readonly number: number; readonly opened: object | undefined } | undefined;
  /** Set while vfio-pci has it. */
  readonly vfio: object | undefined;
  resetRegisters(): void;
}

export function getHotResetInfo(bus: readonly Neighbour[] | undefined, argument: Argument): number {
  const { minimum } = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO;
  const info = argument.struct(vfio_pci_hot_reset_info, minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < minimum) return -errno.EINVAL;
  if (bus === undefined) return -errno.ENODEV;
  if (bus.some(({ group }) => group === undefined)) return -errno.EPERM;
  info.flags = 0;
  info.count = bus.length;
  const fits = bus.length <= Math.floor((info.argsz - minimum) / vfio_pci_dependent_device.size);
  if (fits && !argument.copyTo(describe(bus), minimum)) return -errno.EFAULT;
  if (!argument.copyTo(info.bytes)) return -errno.EFAULT;
  return fits ? 0 : -errno.ENOSPC;
}

function describe(bus: readonly Neighbour[]): Uint8Array {
  const list = vfio_pci_hot_reset_info.create(bus.length * vfio_pci_dependent_device.size);
  list.count = bus.length;
  bus.forEach(({ address, group }, index) => {
    const [segment, number, slot] = address.split(/[:.](?=[0-9a-f]{2}(?::|\.))/);
    const [device, functionNumber] = (slot ?? '').split('.');
    const element = list.devices[index];
    if (element === undefined) return;
    element.group_id = group?.number ?? 0;
    element.segment = parseInt(segment ?? '', 16);
    element.bus = parseInt(number ?? '', 16);
    element.devfn = (parseInt(device ?? '', 16) << 3) | Number(functionNumber);
  });
  return list.bytes.subarray(vfio_pci_hot_reset_info.size);
}

/** The caller proves by the fds of their groups that it has all that goes along. */
export function hotReset(bus: readonly Neighbour[] | undefined, argument: Argument, fds: FdTable): number {
  const { minimum } = VFIO_DEVICE_PCI_HOT_RESET;
  const request = argument.struct(vfio_pci_hot_reset, minimum);
  if (request === undefined) return -errno.EFAULT;
  const { argsz, flags, count } = request;
  if (argsz < minimum || flags !== 0 || count === 0) return -errno.EINVAL;
  if (bus === undefined) return -errno.ENODEV;
  if (count > bus.length) return -errno.EINVAL;
  const bytes = argument.copyFrom(count * 4, minimum);
  if (bytes === undefined) return -errno.EFAULT;
  const groups = new Set<object>();
  for (const fd of new Int32Array(bytes.buffer)) {
    const file = fds.lookup(fd);
    if (file === undefined) return -errno.EBADF;
    if (!file.isGroup) return -errno.EINVAL;
    groups.add(file);
  }
  const owned = bus.every(({ vfio, group }) => vfio !== undefined && group?.opened !== undefined && groups.has(group.opened));
  if (!owned) return -errno.EINVAL;
  for (const neighbour of bus) neighbour.resetRegisters();
  return 0;
}
