import { PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_SPACE_IO, PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_MEMORY } from '../../abi/pci.js';
import { O_RDONLY, O_RDWR } from '../../abi/system.js';
import { VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../../abi/vfio/region.js';
import { Descriptor } from '../../kernel/descriptor.js';
import { CodedError, KernelError } from '../../kernel/error.js';
import type { Kernel, Mmio } from '../../kernel/kernel.js';
import { together } from '../../kernel/resource.js';
import { openDevice, type OpenDevice, type OpenWay } from '../../open.js';
import { readConfigFile } from '../../pci/config-file.js';
import { hasVfioDriver } from '../../pci/group.js';
import { devicesPath, findDevice, type PciDevice } from '../../pci/topology.js';
import type { Device } from '../../vfio/device.js';
import { FileMmio } from '../../vfio/mmio.js';
import type { CommonOptions, Context } from '../context.js';
import { Misuse } from '../exit.js';
import { regionName } from './region-names.js';

/** The options of the commands that open a device. */
export interface OpeningOptions extends CommonOptions {
  readonly by?: OpenWay;
  readonly unsafeNoIommu?: true;
  readonly vfToken?: string;
}

/** A region of a device while it is open, and by which way it is. */
export interface OpenRegion {
  readonly address: string;
  readonly name: string;
  readonly way: OpenWay | 'sysfs';
  /** Bytes. */
  readonly size: number;
  readonly mmio: Mmio;
  close(): void;
}

/** Opens a device through VFIO, as the options say. */
export function openVfio(kernel: Kernel, address: string, options: OpeningOptions): OpenDevice {
  const found = findDevice(kernel, address);
  assertReady(kernel, found, options);
  const { by, vfToken } = options;
  return openDevice(kernel, found.address, {
    ...(by !== undefined && { by }),
    ...(vfToken !== undefined && { vfToken }),
    unsafeNoIommu: options.unsafeNoIommu === true,
  });
}

/** What VFIO would refuse too, but with the words of this command. */
export function assertReady(kernel: Kernel, found: PciDevice, { unsafeNoIommu }: OpeningOptions): void {
  if (!hasVfioDriver(kernel, found)) {
    const driver = found.driver === undefined ? 'has no driver' : `is with the driver ${found.driver}`;
    throw new CodedError('ERR_VFIO_NOT_BOUND', `Device ${found.address} ${driver}. Give it to VFIO first: vfio bind ${found.address}`);
  }
  if (found.noIommu && unsafeNoIommu !== true) {
    throw new CodedError(
      'ERR_VFIO_NO_IOMMU',
      `Device ${found.address} has no IOMMU, so it can read and overwrite all memory of the machine; if that is what you want, say so: --unsafe-no-iommu`,
    );
  }
}

/**
 * Opens one region: configuration space through sysfs where `sysfs` asks for that, or for reading alone where VFIO does not
 * have the device; everything else through VFIO. Its registers answer from then on.
 */
export async function openRegion(
  context: Context,
  address: string,
  index: number,
  { sysfs = false, write, ...options }: OpeningOptions & { readonly sysfs?: boolean; readonly write: boolean },
): Promise<OpenRegion> {
  if (sysfs && index !== VFIO_PCI_CONFIG_REGION_INDEX)
    throw new Misuse(`Only config is reached by --sysfs, and ${regionName(index)} by VFIO alone`);
  const kernel = await context.kernel();
  if (sysfs || (!write && index === VFIO_PCI_CONFIG_REGION_INDEX && !hasVfioDriver(kernel, findDevice(kernel, address))))
    return openConfigFile(kernel, findDevice(kernel, address).address, write);
  const opened = openVfio(kernel, address, options);
  return together((undo) => {
    undo(opened);
    const { device, way } = opened;
    assertThere(device, index, write);
    const region = device.region(index);
    for (const line of decode(device, index)) context.terminal.note(`vfio: ${line}\n`);
    return { address: device.address, name: regionName(index), way, size: region.size, mmio: region.mmio, close: () => opened.close() };
  });
}

function openConfigFile(kernel: Kernel, address: string, write: boolean): OpenRegion {
  const size = readConfigFile(kernel, address).byteLength;
  const descriptor = Descriptor.open(kernel, `${devicesPath}/${address}/config`, write ? O_RDWR : O_RDONLY);
  return { address, name: 'config', way: 'sysfs', size, mmio: new FileMmio(descriptor, 0, size), close: () => descriptor.close() };
}

function assertThere(device: Device, index: number, write: boolean): void {
  if (index >= device.info.regions)
    throw new Misuse(`Expected a region below ${device.info.regions}, as ${device.address} has, but received ${index}`);
  const name = regionName(index);
  if (sizeOf(device, index) === 0) {
    const others = Array.from({ length: device.info.regions }, (_, other) => other).filter((other) => sizeOf(device, other) > 0);
    throw new Error(`${device.address} has no ${name}; it has ${others.map(regionName).join(', ')}`);
  }
  const { info } = device.region(index);
  if (!(write ? info.writable : info.readable)) throw new Error(`${name} of ${device.address} can not be ${write ? 'written' : 'read'}`);
}

function sizeOf(device: Device, index: number): number {
  try {
    return device.region(index).size;
  } catch (error) {
    // A device that does no VGA has no such region at all.
    if (error instanceof KernelError && error.code === 'EINVAL') return 0;
    throw error;
  }
}

/** Has a BAR answer, which it does only while the device decodes its addresses; says so where it did not. */
export function decode(device: Device, index: number): string[] {
  if (index < VFIO_PCI_BAR0_REGION_INDEX || index > VFIO_PCI_BAR5_REGION_INDEX) return [];
  const { config } = device;
  const isPorts = (config.read32(PCI_BASE_ADDRESS_0 + 4 * index) & PCI_BASE_ADDRESS_SPACE_IO) !== 0;
  const bit = isPorts ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
  const command = config.read16(PCI_COMMAND);
  if ((command & bit) !== 0) return [];
  config.write16(PCI_COMMAND, command | bit);
  const [what, letters] = isPorts ? ['I/O ports', 'I/O'] : ['memory', 'Mem'];
  return [`the device did not decode its ${what} (${letters}- in its command register); it does while this command has it open`];
}
