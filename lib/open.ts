import { VFIO_NOIOMMU_IOMMU, VFIO_TYPE1v2_IOMMU } from './abi/vfio/container.js';
import { CodedError } from './kernel/error.js';
import type { Kernel } from './kernel/kernel.js';
import { Resource, together } from './kernel/resource.js';
import type { AddressSpace } from './memory/address-space.js';
import { findDevice } from './pci/topology.js';
import { Container } from './vfio/container.js';
import type { Device } from './vfio/device.js';

/** A device opened on its own, with the address space it does DMA in. Closing it closes both. */
export class OpenDevice extends Resource {
  readonly device: Device;
  /** What the device sees of memory: `dma.allocate(size)` gives it some. */
  readonly dma: AddressSpace;
  readonly #container: Container;

  constructor(container: Container, device: Device) {
    super(`Device ${device.address} and its address space`);
    this.#container = container;
    this.device = device;
    this.dma = container;
  }

  protected override release(): void {
    this.#container.close();
  }
}

export interface OpenOptions {
  /**
   * Open the device even if nothing but vfio's no-IOMMU mode stands behind its group: by DMA the device, and a mistake in
   * its driver, can then read and overwrite all memory of the machine. Devices with an IOMMU open as ever. Default: false.
   */
  readonly unsafeNoIommu?: boolean;
}

/**
 * Opens a PCI device that is bound to vfio-pci, in one step: a container of its own, the device's IOMMU group, the type1
 * version 2 interface. A failure leaves nothing open.
 *
 * @param address '0000:01:00.0', or '01:00.0'
 * @throws KernelError, with a hint; an Error with code ERR_VFIO_NOT_BOUND or ERR_VFIO_NO_GROUP when the device is not
 * ready for VFIO, or ERR_VFIO_NO_IOMMU when it has no IOMMU and `unsafeNoIommu` does not say that this is wanted.
 */
export function openDevice(kernel: Kernel, address: string, { unsafeNoIommu = false }: OpenOptions = {}): OpenDevice {
  const { address: name, group, driver, noIommu } = findDevice(kernel, address);
  if (group === undefined) {
    throw new CodedError(
      'ERR_VFIO_NO_GROUP',
      `Device ${name} is in no IOMMU group. Is the IOMMU on in the firmware and the kernel, or in a virtual machine, does it have one?`,
    );
  }
  if (driver === undefined) {
    throw new CodedError('ERR_VFIO_NOT_BOUND', `Device ${name} has no driver. Bind it to vfio-pci first: bindDriver(kernel, '${name}')`);
  }
  if (noIommu && !unsafeNoIommu) {
    throw new CodedError(
      'ERR_VFIO_NO_IOMMU',
      `Device ${name} has no IOMMU, so it can read and overwrite all memory of the machine; ` +
        `if that is what you want, say so: openDevice(kernel, '${name}', { unsafeNoIommu: true })`,
    );
  }
  return together((undo) => {
    const container = undo(Container.open(kernel));
    const opened = noIommu ? container.openNoIommuGroup(group) : container.openGroup(group);
    container.setIommu(noIommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU);
    return new OpenDevice(container, opened.openDevice(name));
  });
}
