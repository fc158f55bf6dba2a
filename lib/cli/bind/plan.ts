import { CodedError, KernelError } from '../../kernel/error.js';
import { parseAddress } from '../../pci/address.js';
import { readOverride } from '../../pci/driver.js';
import { hasVfioDriver, isBridge } from '../../pci/group.js';
import type { WithFiles } from '../../pci/sysfs.js';
import { findDevice, groupDevices, type PciDevice } from '../../pci/topology.js';
import { Misuse } from '../exit.js';
import { idsText } from '../hex.js';

/** Where a device goes: to a driver, to none (undefined), or to the one that the bus picks when nothing overrides. */
export type Place = 'bus' | { readonly driver: string | undefined; readonly override: string | undefined };

/** A device and where it goes. */
export interface Change {
  /** As it was. */
  readonly device: PciDevice;
  readonly override: string | undefined;
  readonly to: Place;
  /** It is not there already. */
  readonly moves: boolean;
}

/** The devices of these addresses, each once. @throws Misuse for one that there is not. */
export function namedDevices(kernel: WithFiles, names: readonly string[]): PciDevice[] {
  return [...new Set(names.map(parseAddress))].map((address) => {
    try {
      return findDevice(kernel, address);
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENOENT')
        throw new Misuse(`There is no device ${address}. Those that there are: vfio list`);
      throw error;
    }
  });
}

/** With those of their groups for which `wanted` is true, bridges apart: nobody needs to move one. */
export function withGroups(kernel: WithFiles, devices: readonly PciDevice[], wanted: (mate: PciDevice) => boolean): PciDevice[] {
  const groups = [...new Set(devices.flatMap(({ group }) => group ?? []))];
  const mates = groups.flatMap((group) => groupDevices(kernel, group)).filter((mate) => !isBridge(mate) && wanted(mate));
  const all = new Map([...devices, ...mates].map((device) => [device.address, device]));
  return [...all.values()].sort((one, other) => (one.address < other.address ? -1 : 1));
}

/** The driver of that name, with '-' and '_' as good as each other. @throws Error with code ERR_VFIO_NO_DRIVER */
export function loadedDriver({ files }: WithFiles, name: string): string {
  const path = (each: string): string => `/sys/bus/pci/drivers/${each}`;
  const found = [name, name.replaceAll('_', '-'), name.replaceAll('-', '_')].find((each) => files.access(path(each)) === 0);
  if (found !== undefined) return found;
  throw new CodedError('ERR_VFIO_NO_DRIVER', `There is no driver ${name} (${path(name)} is missing). Load it: sudo modprobe ${name}`);
}

/** To a driver, by an override. A device that it has stays as it is. */
export function toDriver(kernel: WithFiles, device: PciDevice, driver: string): Change {
  const to = { driver, override: driver };
  return { device, override: readOverride(kernel, device.address), to, moves: device.driver !== driver };
}

export function toPlace(kernel: WithFiles, device: PciDevice, to: Place): Change {
  const override = readOverride(kernel, device.address);
  return { device, override, to, moves: to === 'bus' || device.driver !== to.driver || override !== to.override };
}

/** What gives a device back when nobody remembers what it was. */
export function toItsOwn(kernel: WithFiles, device: PciDevice): Place {
  const stays = device.driver !== undefined && !hasVfioDriver(kernel, device);
  return stays ? { driver: device.driver, override: undefined } : 'bus';
}

/** '0000:01:00.0 (8086:10d3)' */
export function nameOf(device: PciDevice): string {
  return `${device.address} (${idsText(device)})`;
}

/** '0000:01:00.0 (8086:10d3): e1000e -> vfio-pci' */
export function changeText({ device, to, moves }: Change): string {
  const old = device.driver ?? 'no driver';
  if (!moves) return `${nameOf(device)}: stays with ${old}`;
  return `${nameOf(device)}: ${old} -> ${to === 'bus' ? 'the one the kernel picks' : (to.driver ?? 'no driver')}`;
}
