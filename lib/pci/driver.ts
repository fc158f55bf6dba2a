import { CodedError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { matters } from '../kernel/matters.js';
import { finishAll } from '../kernel/resource.js';
import { readTextIfAny, writeText, type WithFiles } from './sysfs.js';
import { devicesPath, findDevice, type PciDevice } from './topology.js';

export const noIommuModePath = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

/** What a device was before `bindDriver`, and the way back. */
export interface Binding {
  readonly address: string;
  /** The driver it had. */
  readonly previous: string | undefined;
  /** Gives the device back to the driver it had, or to none. Twice is once. */
  restore(): void;
  [Symbol.dispose](): void;
}

/**
 * Gives a device to a driver, by default vfio-pci, through `driver_override`: no other device with the same ids is
 * touched, which `new_id` would do. Nothing is unbound before it is clear that the device can be given to VFIO; if the
 * new driver does not take it, the old one gets it back.
 *
 * A device without an IOMMU goes to vfio-pci only while the system is in no-IOMMU mode, which nobody but you turns on.
 * @throws KernelError, or an Error with code ERR_VFIO_NO_GROUP for a device without an IOMMU group.
 */
export function bindDriver(kernel: Kernel, address: string, driver = 'vfio-pci'): Binding {
  const device = findDevice(kernel, address);
  const override = readOverride(kernel, device.address);
  const restore = once(() => moveDevice(kernel, device.address, device.driver, override));
  const binding = { address: device.address, previous: device.driver, restore, [Symbol.dispose]: restore };
  if (device.driver === driver) return binding;
  assertPossible(kernel, device, driver);
  try {
    moveDevice(kernel, device.address, driver, driver);
  } catch (error) {
    finishAll([
      () => {
        throw error;
      },
      restore,
    ]);
  }
  return binding;
}

function assertPossible(kernel: Kernel, device: PciDevice, driver: string): void {
  if (device.group === undefined && driver === 'vfio-pci' && !noIommuMode(kernel)) {
    throw new CodedError(
      'ERR_VFIO_NO_GROUP',
      `Device ${device.address} is in no IOMMU group, so ${driver} would not take it. ` +
        `${matters['iommu-active'].hint} The unsafe way without one is no-IOMMU mode, where the device can reach all memory: echo Y > ${noIommuModePath}`,
    );
  }
  const path = `/sys/bus/pci/drivers/${driver}`;
  if (kernel.files.access(path) < 0)
    throw new CodedError('ERR_VFIO_NO_DRIVER', `There is no driver ${driver} (${path} is missing). Load it: modprobe ${driver}`);
}

/**
 * Unbinds, has the bus look again for that driver alone, looks what came of it, and leaves the override that is wanted: the
 * driver need not be the one that the bus would pick. `driver`: undefined for none.
 * @throws KernelError, or an Error with code ERR_VFIO_NOT_BOUND when the driver did not take it.
 */
export function moveDevice(kernel: WithFiles, address: string, driver: string | undefined, override: string | undefined): void {
  const current = findDevice(kernel, address).driver;
  if (current !== driver) unbind(kernel, address, current);
  if (driver !== undefined && current !== driver) {
    writeOverride(kernel, address, driver);
    probe(kernel, address);
  }
  if (override !== readOverride(kernel, address)) writeOverride(kernel, address, override);
  const now = findDevice(kernel, address).driver;
  if (now !== driver) {
    throw new CodedError(
      'ERR_VFIO_NOT_BOUND',
      `Device ${address} went to ${now ?? 'no driver'} instead of ${driver ?? 'none'}. The kernel log says why: dmesg | grep ${address}`,
    );
  }
}

/** Clears the override, and leaves to the bus which driver has the device now; gives that, if there is one. */
export function giveToBus(kernel: WithFiles, address: string): string | undefined {
  unbind(kernel, address, findDevice(kernel, address).driver);
  writeOverride(kernel, address, undefined);
  return probe(kernel, address);
}

function unbind(kernel: WithFiles, address: string, driver: string | undefined): void {
  if (driver !== undefined) writeText(kernel, `/sys/bus/pci/drivers/${driver}/unbind`, address);
}

/** A newline clears it; writing nothing would leave it. */
function writeOverride(kernel: WithFiles, address: string, override: string | undefined): void {
  writeText(kernel, `${devicesPath}/${address}/driver_override`, `${override ?? ''}\n`);
}

function probe(kernel: WithFiles, address: string): string | undefined {
  writeText(kernel, '/sys/bus/pci/drivers_probe', address);
  return findDevice(kernel, address).driver;
}

/** Which driver alone may have the device, if somebody said so. */
export function readOverride(kernel: WithFiles, address: string): string | undefined {
  const text = readTextIfAny(kernel, `${devicesPath}/${address}/driver_override`);
  return text === '(null)' || text === '' ? undefined : text;
}

export function noIommuMode(kernel: WithFiles): boolean {
  return readTextIfAny(kernel, noIommuModePath) === 'Y';
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}
