import { errno } from '../abi/errno.js';
import type { Mapping } from '../kernel/kernel.js';
import type { Argument } from './argument.js';
import type { DmaLogging } from './dma-logging.js';
import type { FeatureRequest } from './features.js';
import type { Migration } from './migration.js';
import type { FdTable } from './open-file.js';
import type { KernelProfile } from './profile.js';

/** What a device that was opened by its own node is bound to: an open /dev/iommu, and its id there. */
export interface DeviceBinding {
  readonly iommufd: { hasGroup(group: object): boolean };
  readonly id: number;
}

/** A device as its VFIO driver gives it to user space. One per device, however many fds are open. */
export abstract class VfioDevice {
  /** Its name in sysfs, by which the group gives it out. */
  readonly name: string;
  readonly kernel: KernelProfile;
  /** How it migrates, if it can. */
  readonly migration: Migration | undefined = undefined;
  /** How it tells which pages it wrote, if it can. */
  readonly dmaLogging: DmaLogging | undefined = undefined;
  /** Whoever opened it knows that the flags of `vfio_precopy_info` mean something. */
  precopyFlags = false;
  /** While it is open by its own node. */
  binding: DeviceBinding | undefined;
  #opens = 0;
  #holds = 0;
  #whenReleased: (() => void)[] = [];
  #whenClosed: (() => void) | undefined;

  constructor(name: string, kernel: KernelProfile) {
    this.name = name;
    this.kernel = kernel;
  }

  /** Whether the text of GET_DEVICE_FD means the device: 1, 0 or -errno. */
  match(text: string): number {
    return text === this.name ? 1 : 0;
  }

  get isOpen(): boolean {
    return this.#opens > 0;
  }

  /** The text of a token admits whoever opens it by its own node, as no text does where there is none: 0 or -errno. */
  admit(_token: string | undefined): number {
    return 0;
  }

  /** Whether it is a virtual function of another. */
  get isVirtual(): boolean {
    return false;
  }

  /** Whether a token means something to it. */
  get asksForTokens(): boolean {
    return false;
  }

  /** Somebody has a file of it, if only one that is not bound yet: it cannot go. */
  hold(): void {
    this.#holds += 1;
  }

  letGo(): void {
    this.#holds -= 1;
    if (this.#holds > 0) return;
    for (const action of this.#whenReleased.splice(0)) action();
  }

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** `closed` is called when nobody has it open any more, by whom it was opened first. */
  open(closed?: () => void): void {
    this.hold();
    this.#opens += 1;
    if (this.#opens > 1) return;
    this.#whenClosed = closed;
    this.firstOpened();
  }

  close(): void {
    this.#opens -= 1;
    if (this.#opens === 0) {
      this.lastClosed();
      this.precopyFlags = false;
      this.#whenClosed?.();
    }
    this.letGo();
  }

  /** Asks who has it open to let go, and calls back when they did. At once if nobody has. */
  takeBack(released: () => void): void {
    if (!this.isHeld) return released();
    this.#whenReleased.push(released);
    if (this.isOpen) this.askBack();
  }

  /** Something is asked of it: comes before every request and access. */
  use(): void {}

  /** A request of the device's fd. */
  abstract ioctl(request: number, argument: Argument, fds: FdTable): number;
  /** A device feature the driver has by itself: none of migration and of DMA logging. */
  feature(_request: FeatureRequest, _fds: FdTable): number {
    return -errno.ENOTTY;
  }
  abstract read(bytes: Uint8Array, offset: number): number;
  abstract write(bytes: Uint8Array, offset: number): number;

  /** `released` is to be called when the mapping goes. */
  mmap(_length: number, _protection: number, _flags: number, _offset: number, _released: () => void): Mapping | number {
    return -errno.EINVAL;
  }

  /** The host wants the device back: the REQ interrupt. */
  askBack(): void {}
  protected firstOpened(): void {}
  protected lastClosed(): void {}
}
