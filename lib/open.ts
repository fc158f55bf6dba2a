import { VFIO_NOIOMMU_IOMMU, VFIO_TYPE1v2_IOMMU } from './abi/vfio/container.js';
import { Iommufd } from './iommufd/iommufd.js';
import { CodedError, expected, KernelError } from './kernel/error.js';
import type { Kernel } from './kernel/kernel.js';
import { Resource, together } from './kernel/resource.js';
import type { AddressSpace } from './memory/address-space.js';
import { PhysicalSpace } from './memory/physical-space.js';
import { findDevice, type PciDevice } from './pci/topology.js';
import { Cdev, type CdevOptions } from './vfio/cdev.js';
import { Container } from './vfio/container.js';
import type { Device } from './vfio/device.js';

/**
 * A way to open a device: `node`, by the device's own node and /dev/iommu (Linux 6.6); `group`, through its IOMMU group
 * and a container, /dev/vfio/vfio; `compatibility`, through its group and /dev/iommu in the container's place (Linux 6.2).
 */
export type OpenWay = 'node' | 'group' | 'compatibility';

const ways: readonly OpenWay[] = ['node', 'group', 'compatibility'];

/** What was opened, and how. */
interface Opened {
  readonly way: OpenWay;
  readonly reason: string;
  readonly device: Device;
  readonly dma: AddressSpace;
  /** What all of it belongs to. */
  readonly owner: Container | Iommufd;
}

/** A device opened on its own, with the address space it does DMA in. Closing it closes both. */
export class OpenDevice extends Resource {
  readonly device: Device;
  /** What the device sees of memory: `dma.allocate(size)` gives it some. */
  readonly dma: AddressSpace;
  /** The way it was opened. */
  readonly way: OpenWay;
  /** Why that way, in a sentence; and for a device without an IOMMU, in another, what that means. */
  readonly reason: string;
  readonly #owner: Container | Iommufd;

  /** @internal */
  constructor({ way, reason, device, dma, owner }: Opened) {
    super(`Device ${device.address} and its address space`);
    this.device = device;
    this.dma = dma;
    this.way = way;
    this.reason = reason;
    this.#owner = owner;
  }

  /**
   * For another process, which is given the two fds as its own and makes a device of them: `adoptDevice`. They are this one's
   * still, and the device stays open in the kernel for as long as either has them.
   * @throws Error with code ERR_VFIO_NO_IOMMU for a device without an IOMMU.
   */
  share(): SharedDevice {
    this.assertOpen();
    if (this.dma instanceof PhysicalSpace) {
      throw new CodedError('ERR_VFIO_NO_IOMMU', `Device ${this.device.address} has no IOMMU: who has it has all memory of the machine`);
    }
    const { address, fd } = this.device;
    const { fd: space } = this.#owner;
    return { address, way: this.way, device: fd, space, ...(this.device instanceof Cdev ? { id: this.device.id } : {}) };
  }

  protected override release(): void {
    this.#owner.close();
  }
}

/** A device that is open, as another process is told of it. The fds are those of the process that uses it. */
export interface SharedDevice {
  readonly address: string;
  readonly way: OpenWay;
  /** Of the device's file. */
  readonly device: number;
  /** Of what it does DMA in: the container, or /dev/iommu. */
  readonly space: number;
  /** By its node: what it is called in /dev/iommu. Without it, the node is open and nothing else: it is bound now. */
  readonly id?: number;
}

export interface OpenOptions {
  /** The only way to try. Default: its node where the kernel has one and lets it be opened, otherwise its group. */
  readonly by?: OpenWay;
  /**
   * Open the device even if nothing but vfio's no-IOMMU mode stands behind it: by DMA the device, and a mistake in its
   * driver, can then read and overwrite all memory of the machine. Devices with an IOMMU open as ever. Default: false.
   */
  readonly unsafeNoIommu?: boolean;
  /** The UUID that a virtual function asks for while vfio-pci has its physical one. By its node: Linux 6.17; by its group: 5.7. */
  readonly vfToken?: string;
}

/**
 * Opens a PCI device that is bound to vfio-pci, in one step, with an address space of its own. A driver need not know which
 * way it was; `opened.way` and `opened.reason` tell. A failure leaves nothing open.
 *
 * @param address '0000:01:00.0', or '01:00.0'
 * @throws KernelError, with a hint, and as its `cause` why another way was not taken; an Error with code ERR_VFIO_NOT_BOUND
 * or ERR_VFIO_NO_GROUP when the device is not ready for VFIO, ERR_VFIO_NO_NODE when it has no node to be opened by, or
 * ERR_VFIO_NO_IOMMU when it has no IOMMU and `unsafeNoIommu` does not say that this is wanted.
 */
export function openDevice(kernel: Kernel, address: string, { by, unsafeNoIommu = false, vfToken }: OpenOptions = {}): OpenDevice {
  if (by !== undefined && !ways.includes(by)) throw expected(`one of ${ways.join(', ')}`, 'by', by);
  const found = findDevice(kernel, address);
  assertReady(found);
  if (found.noIommu && !unsafeNoIommu) {
    throw new CodedError(
      'ERR_VFIO_NO_IOMMU',
      `Device ${found.address} has no IOMMU, so it can read and overwrite all memory of the machine; ` +
        `if that is what you want, say so: openDevice(kernel, '${found.address}', { unsafeNoIommu: true })`,
    );
  }
  const token = vfToken === undefined ? {} : { vfToken };
  return new OpenDevice(by === undefined ? openByChoice(kernel, found, token) : open(kernel, found, by, 'It was asked for.', token));
}

/**
 * A device of files that are open already, as a privileged process opened them and handed them on: it takes no permission but the
 * fds. By its node, it is moved into an address space of its own; otherwise it shares the container's with who opened it, whose
 * mappings are not known here. Closing it closes the fds, and turns the device off.
 *
 * @param shared what `opened.share()` told, with the fds that they are in this process
 * @throws KernelError ENOTTY or EINVAL, with a hint, when an fd is another file's: then both stay the caller's.
 */
export function adoptDevice(kernel: Kernel, { address, way, device, space, id }: SharedDevice): OpenDevice {
  if (!ways.includes(way)) throw expected(`one of ${ways.join(', ')}`, 'way', way);
  const reason = 'It was open already.';
  if (way !== 'node') {
    const container = Container.adopt(kernel, space);
    return new OpenDevice({ way, reason, device: container.adoptDevice(address, device), dma: container, owner: container });
  }
  const iommufd = Iommufd.adopt(kernel, space);
  const adopted = Cdev.adopt(iommufd, { address, fd: device, ...(id === undefined ? {} : { id }) });
  return together((undo) => {
    const dma = undo(iommufd.createIoas());
    adopted.attach(dma);
    return new OpenDevice({ way, reason, device: adopted, dma, owner: iommufd });
  });
}

function assertReady({ address, group, node, driver }: PciDevice): void {
  if (group === undefined && node === undefined) {
    throw new CodedError(
      'ERR_VFIO_NO_GROUP',
      `Device ${address} is in no IOMMU group. Is the IOMMU on in the firmware and the kernel, or in a virtual machine, does it have one?`,
    );
  }
  if (driver === undefined) {
    throw new CodedError(
      'ERR_VFIO_NOT_BOUND',
      `Device ${address} has no driver. Bind it to vfio-pci first: bindDriver(kernel, '${address}')`,
    );
  }
}

function openByChoice(kernel: Kernel, found: PciDevice, token: CdevOptions): Opened {
  if (found.node === undefined) return open(kernel, found, 'group', 'The kernel gave the device no node of its own.', token);
  try {
    return open(kernel, found, 'node', `The kernel has ${found.node} and /dev/iommu, and lets them be opened.`, token);
  } catch (error) {
    // Only what is not there, or not for this user, has the other way tried: both ways refuse a device for the same reasons.
    if (!(error instanceof KernelError) || error.syscall !== 'open') throw error;
    try {
      return open(kernel, found, 'group', `Its own node is not to be used: ${error.message}`, token);
    } catch (failure) {
      if (failure instanceof Error) failure.cause ??= error;
      throw failure;
    }
  }
}

const withoutIommu = ' No IOMMU stands between the device and memory: it can read and overwrite all memory of the machine.';

function open(kernel: Kernel, found: PciDevice, way: OpenWay, why: string, token: CdevOptions): Opened {
  const reason = found.noIommu ? why + withoutIommu : why;
  return together((undo) => {
    if (way === 'node') {
      const iommufd = undo(Iommufd.open(kernel));
      const device = Cdev.open(iommufd, found, token);
      const space = iommufd.createIoas();
      device.attach(space);
      const dma = found.noIommu ? new PhysicalSpace(kernel, iommufd, space) : space;
      return { way, reason, device, dma, owner: iommufd };
    }
    const container = undo(Container.open(kernel, way === 'compatibility' ? '/dev/iommu' : '/dev/vfio/vfio'));
    const { group: number } = found;
    if (number === undefined) throw new CodedError('ERR_VFIO_NO_GROUP', `Device ${found.address} is in no group: open it by its node`);
    const group = found.noIommu ? container.openNoIommuGroup(number) : container.openGroup(number);
    container.setIommu(found.noIommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU);
    const dma = found.noIommu ? new PhysicalSpace(kernel, container) : container;
    return { way, reason, device: group.openDevice(found.address, token), dma, owner: container };
  });
}
