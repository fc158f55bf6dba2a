/** A VFIO device fd: what all drivers share, as the kernel's vfio_main.c has it. The rest is the driver's. */
import { errno } from '../abi/errno.js';
import { VFIO_DEVICE_FEATURE } from '../abi/vfio/feature.js';
import type { Mapping } from '../kernel/kernel.js';
import { VFIO_DEVICE_BIND_IOMMUFD } from '../abi/vfio/cdev.js';
import type { Argument } from './argument.js';
import { takeBind } from './bind-request.js';
import { dmaLoggingFeature } from './dma-logging.js';
import { FeatureRequest } from './features.js';
import { migrationFeature } from './migration.js';
import { OpenFile, type FdTable } from './open-file.js';
import type { VfioDevice } from './vfio-device.js';

export class DeviceFile extends OpenFile {
  readonly #device: VfioDevice;
  readonly #fds: FdTable;
  readonly #released: () => void;

  constructor(device: VfioDevice, fds: FdTable, released: () => void) {
    super();
    this.#device = device;
    this.#fds = fds;
    this.#released = released;
  }

  override ioctl(request: number, argument: Argument): number {
    if (request === VFIO_DEVICE_BIND_IOMMUFD.number) return this.#refuseBind(argument);
    this.#device.use();
    if (request !== VFIO_DEVICE_FEATURE.number) return this.#device.ioctl(request, argument, this.#fds);
    const feature = FeatureRequest.take(argument);
    if (typeof feature === 'number') return feature;
    return (
      migrationFeature(feature, this.#device, this.#fds) ??
      dmaLoggingFeature(feature, this.#device.dmaLogging) ??
      this.#device.feature(feature, this.#fds)
    );
  }

  /** The group is what this fd belongs to. */
  #refuseBind(argument: Argument): number {
    const bind = takeBind(argument, this.#device.kernel);
    return typeof bind === 'number' ? bind : -errno.EINVAL;
  }

  override pread(bytes: Uint8Array, offset: number): number {
    this.#device.use();
    return this.#device.read(bytes, offset);
  }

  override pwrite(bytes: Uint8Array, offset: number): number {
    this.#device.use();
    return this.#device.write(bytes, offset);
  }

  override mmap(length: number, protection: number, flags: number, offset: number): Mapping | number {
    this.retain();
    const mapping = this.#device.mmap(length, protection, flags, offset, () => this.drop());
    if (typeof mapping === 'number') this.drop();
    return mapping;
  }

  protected override release(): void {
    this.#released();
  }
}
