/** The interrupts of a vfio-pci device. The order of checks is that of the kernel's vfio_pci_intrs.c. */
import { errno } from '../../abi/errno.js';
import { PCI_COMMAND_INTX_DISABLE, PCI_MSIX_ENTRY_SIZE, PCI_MSIX_ENTRY_VECTOR_CTRL } from '../../abi/pci.js';
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from '../../abi/vfio/irq.js';
import type { Eventfd } from '../eventfd.js';
import { holdEventfd, type IrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';
import { D0, type PciFunction } from '../pci/function.js';
import type { KernelProfile } from '../profile.js';

/** What the driver keeps of MSI while nobody has the device open. */
export interface MsiQueue {
  /** log2 of the vectors that SET_IRQS enabled last. */
  size: number;
}

export class Irqs {
  readonly #hardware: PciFunction;
  readonly #msiQueue: MsiQueue;
  /** The index whose eventfds are set: one of INTx, MSI, MSI-X, or none. */
  #enabled: number | undefined;
  #vectors = new Map<number, Eventfd>();
  readonly #single = new Map<number, Eventfd>();
  /** Unmasks INTx when signalled: the resample eventfd. */
  #unmaskOn: { stop(): void } | undefined;
  #unmasking = false;
  #masked = false;
  #virtuallyDisabled = false;
  /** How many vectors the first call took. */
  #allocated = 0;
  /** MSI-X vectors can be added while others are enabled. */
  readonly growsMsix: boolean;
  /** Kernels that add none refuse a range past those that were taken at first, as a whole. */
  readonly #rangeIsChecked: boolean;
  readonly #refusesNegativeEventfds: boolean;

  constructor(
    hardware: PciFunction,
    { growsMsix, refusesNegativeEventfds }: Pick<KernelProfile, 'growsMsix' | 'refusesNegativeEventfds'>,
    msiQueue: MsiQueue,
  ) {
    this.#hardware = hardware;
    this.#msiQueue = msiQueue;
    this.#rangeIsChecked = !growsMsix;
    this.#refusesNegativeEventfds = refusesNegativeEventfds;
    this.growsMsix = growsMsix && hardware.msix !== undefined;
    hardware.sink = {
      msi: (vector) => this.#vectors.get(vector)?.signal(),
      intx: (asserted) => {
        if (asserted) this.#deliverIntx();
      },
    };
  }

  /** What of message-signalled interrupts the kernel allocated. */
  get messages(): { readonly kind: 'msi' | 'msix'; readonly count: number } | undefined {
    if (this.#enabled === undefined || this.#enabled === VFIO_PCI_INTX_IRQ_INDEX) return undefined;
    return { kind: this.usesMsi ? 'msi' : 'msix', count: this.#allocated };
  }

  get usesMsi(): boolean {
    return this.#enabled === VFIO_PCI_MSI_IRQ_INDEX;
  }

  /** The driver changed INTx-disable in its view of the command register. */
  virtuallyDisable(disabled: boolean): void {
    this.#virtuallyDisabled = disabled;
    if (disabled) this.#mask();
    else this.#unmask();
  }

  set(request: IrqSet, fds: FdTable): number {
    const action = request.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    switch (request.index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        if (action === VFIO_IRQ_SET_ACTION_MASK) return this.#setIntxMask(request);
        if (action === VFIO_IRQ_SET_ACTION_UNMASK) return this.#setIntxUnmask(request, fds);
        if (action === VFIO_IRQ_SET_ACTION_TRIGGER) return this.#setIntxTrigger(request, fds);
        return -errno.ENOTTY;
      case VFIO_PCI_MSI_IRQ_INDEX:
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.#setMsiTrigger(request, fds) : -errno.ENOTTY;
      case VFIO_PCI_ERR_IRQ_INDEX:
      case VFIO_PCI_REQ_IRQ_INDEX:
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.#setSingleTrigger(request, fds) : -errno.ENOTTY;
      default:
        return -errno.ENOTTY;
    }
  }

  /** The kernel wants the device back: tells whoever asked to know. */
  request(): void {
    this.#single.get(VFIO_PCI_REQ_IRQ_INDEX)?.signal();
  }

  /** The bus told of an error that cannot be corrected. */
  reportError(): void {
    this.#single.get(VFIO_PCI_ERR_IRQ_INDEX)?.signal();
  }

  release(): void {
    if (this.#enabled === VFIO_PCI_INTX_IRQ_INDEX) this.#disableIntx();
    else if (this.#enabled !== undefined) this.#disableMsi();
    for (const eventfd of this.#single.values()) eventfd.drop();
    this.#single.clear();
    this.#hardware.sink = undefined;
  }

  // Of a single interrupt the request has one or none: it was checked before.
  #setIntxMask({ flags, count, data }: IrqSet): number {
    if (this.#enabled !== VFIO_PCI_INTX_IRQ_INDEX || count === 0) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0) return -errno.ENOTTY;
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[0] !== 0) this.#mask();
    return 0;
  }

  #setIntxUnmask({ flags, count, data }: IrqSet, fds: FdTable): number {
    if (this.#enabled !== VFIO_PCI_INTX_IRQ_INDEX || count === 0) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) === 0) {
      if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[0] !== 0) this.#unmask();
      return 0;
    }
    const fd = int32s(data)[0] ?? -1;
    if (fd < 0) {
      this.#stopUnmaskOn();
      return 0;
    }
    const eventfd = holdEventfd(fds, fd);
    if (typeof eventfd === 'number') return eventfd;
    if (this.#unmaskOn !== undefined) {
      eventfd.drop();
      return -errno.EBUSY;
    }
    const stop = eventfd.onSignal(() => this.#unmaskBySignal());
    this.#unmaskOn = {
      stop: () => {
        stop();
        eventfd.drop();
      },
    };
    return 0;
  }

  #setIntxTrigger({ flags, count, data }: IrqSet, fds: FdTable): number {
    const enabled = this.#enabled === VFIO_PCI_INTX_IRQ_INDEX;
    if (enabled && count === 0 && (flags & VFIO_IRQ_SET_DATA_NONE) !== 0) {
      this.#disableIntx();
      return 0;
    }
    if ((!enabled && this.#enabled !== undefined) || count === 0) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0) {
      const fd = int32s(data)[0] ?? -1;
      const eventfd = fd < 0 ? undefined : holdEventfd(fds, fd);
      if (typeof eventfd === 'number') return eventfd;
      this.#setVector(0, eventfd);
      if (!enabled) this.#enableIntx();
      return 0;
    }
    if (!enabled) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[0] !== 0) this.#sendIntx();
    return 0;
  }

  #setMsiTrigger({ flags, index, start, count, data }: IrqSet, fds: FdTable): number {
    const enabled = this.#enabled === index;
    if (enabled && count === 0 && (flags & VFIO_IRQ_SET_DATA_NONE) !== 0) {
      this.#disableMsi();
      return 0;
    }
    if (!enabled && this.#enabled !== undefined) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0) {
      if (enabled) return this.#setBlock(start, int32s(data), fds);
      // pci_alloc_irq_vectors cannot give between one and none; of a device that sleeps it gives none.
      const none = start + count === 0;
      if (this.#hardware.powerState !== D0 && (index === VFIO_PCI_MSI_IRQ_INDEX || !none)) return -errno.EINVAL;
      if (none) return -errno.ERANGE;
      this.#enabled = index;
      if (index === VFIO_PCI_MSI_IRQ_INDEX) this.#msiQueue.size = Math.ceil(Math.log2(start + count));
      this.#allocated = start + count;
      this.#enableMessages(index, true);
      const result = this.#setBlock(start, int32s(data), fds);
      if (result !== 0) this.#disableMsi();
      return result;
    }
    if (!enabled || (this.#rangeIsChecked && start + count > this.#allocated)) return -errno.EINVAL;
    for (let i = 0; i < count; i += 1) {
      if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[i] !== 0) this.#vectors.get(start + i)?.signal();
    }
    return 0;
  }

  /** One bad fd takes the whole block back. */
  #setBlock(start: number, wanted: Int32Array, fds: FdTable): number {
    if (this.#rangeIsChecked && (start >= this.#allocated || start + wanted.length > this.#allocated)) return -errno.EINVAL;
    for (const [i, fd] of wanted.entries()) {
      const eventfd = fd < 0 ? undefined : this.#reaches(start + i) ? holdEventfd(fds, fd) : -errno.EINVAL;
      if (typeof eventfd === 'number') {
        for (let vector = start; vector <= start + i; vector += 1) this.#setVector(vector, undefined);
        return eventfd;
      }
      this.#setVector(start + i, eventfd);
    }
    return 0;
  }

  /** Whether the vector can be used: one of those that were taken at first, or one that can be added. */
  #reaches(vector: number): boolean {
    return vector < this.#allocated || (this.#enabled === VFIO_PCI_MSIX_IRQ_INDEX && this.growsMsix);
  }

  #enableMessages(index: number, enabled: boolean): void {
    const { msi, msix } = this.#hardware;
    if (index === VFIO_PCI_MSIX_IRQ_INDEX) {
      if (msix !== undefined) msix.enabled = enabled;
      for (let vector = 0; vector < (msix?.vectors ?? 0); vector += 1) this.#maskMessage(vector, true);
    } else if (msi !== undefined) {
      msi.enabled = enabled;
      msi.queue = enabled ? this.#msiQueue.size : 0;
    }
  }

  /** The kernel masks vectors that nobody asked for; what the device sends for one meanwhile comes when it is unmasked. */
  #maskMessage(vector: number, masked: boolean): void {
    const { msi, msix } = this.#hardware;
    if (this.#enabled === VFIO_PCI_MSIX_IRQ_INDEX && msix !== undefined) {
      const control = msix.table.start + vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
      this.#hardware.busWrite(msix.table.bar, control, 4, masked ? 1n : 0n);
    } else if (this.#enabled === VFIO_PCI_MSI_IRQ_INDEX && msi?.maskAt !== undefined) {
      const others = this.#hardware.readConfig(msi.maskAt, 4) & ~(1 << vector);
      this.#hardware.writeConfig(msi.maskAt, 4, others | (masked ? 1 << vector : 0));
    }
  }

  #setSingleTrigger({ flags, index, count, data }: IrqSet, fds: FdTable): number {
    const current = this.#single.get(index);
    const replace = (eventfd: Eventfd | undefined): number => {
      current?.drop();
      if (eventfd === undefined) this.#single.delete(index);
      else this.#single.set(index, eventfd);
      return 0;
    };
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0) {
      if (current === undefined) return -errno.EINVAL;
      if (count === 0) return replace(undefined);
      current.signal();
      return 0;
    }
    if (count === 0) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_BOOL) !== 0) {
      if (data[0] !== 0) current?.signal();
      return 0;
    }
    const fd = int32s(data)[0] ?? -1;
    if (fd === -1) return replace(undefined);
    if (fd < 0) return this.#refusesNegativeEventfds ? -errno.EINVAL : 0;
    const eventfd = holdEventfd(fds, fd);
    return typeof eventfd === 'number' ? eventfd : replace(eventfd);
  }

  #setVector(vector: number, eventfd: Eventfd | undefined): void {
    this.#vectors.get(vector)?.drop();
    if (eventfd === undefined) this.#vectors.delete(vector);
    else this.#vectors.set(vector, eventfd);
    this.#maskMessage(vector, eventfd === undefined);
  }

  #enableIntx(): void {
    this.#enabled = VFIO_PCI_INTX_IRQ_INDEX;
    this.#masked = this.#virtuallyDisabled;
    this.#hardwareDisable(this.#masked);
    if (this.#hardware.intxAsserted) this.#deliverIntx();
  }

  #disableIntx(): void {
    this.#stopUnmaskOn();
    this.#enabled = undefined;
    this.#setVector(0, undefined);
  }

  #disableMsi(): void {
    for (const vector of [...this.#vectors.keys()]) this.#setVector(vector, undefined);
    if (this.#enabled !== undefined) this.#enableMessages(this.#enabled, false);
    this.#enabled = undefined;
  }

  /** The line is level-triggered: each delivery masks it until the driver has served the device and unmasks. */
  #deliverIntx(): void {
    if (this.#enabled !== VFIO_PCI_INTX_IRQ_INDEX || this.#masked) return;
    this.#mask();
    this.#sendIntx();
  }

  #sendIntx(): void {
    if (!this.#virtuallyDisabled) this.#vectors.get(0)?.signal();
  }

  #mask(): void {
    this.#hardwareDisable(true);
    if (this.#enabled === VFIO_PCI_INTX_IRQ_INDEX) this.#masked = true;
  }

  /**
   * The eventfd may be the one that the delivery signals, and then it goes round until the device takes the interrupt back:
   * in the kernel a worker does, here each turn of the event loop.
   */
  #unmaskBySignal(): void {
    if (this.#unmasking) {
      setImmediate(() => {
        if (this.#unmaskOn !== undefined) this.#unmaskBySignal();
      }).unref();
      return;
    }
    this.#unmasking = true;
    this.#unmask();
    this.#unmasking = false;
  }

  #unmask(): void {
    if (this.#enabled !== VFIO_PCI_INTX_IRQ_INDEX) {
      this.#hardwareDisable(false);
      return;
    }
    if (!this.#masked || this.#virtuallyDisabled) return;
    // Still asserted: the next delivery is now, and the line stays masked.
    if (this.#hardware.intxAsserted) {
      this.#sendIntx();
      return;
    }
    this.#masked = false;
    this.#hardwareDisable(false);
  }

  #hardwareDisable(disabled: boolean): void {
    const { command } = this.#hardware;
    this.#hardware.command = disabled ? command | PCI_COMMAND_INTX_DISABLE : command & ~PCI_COMMAND_INTX_DISABLE;
  }

  #stopUnmaskOn(): void {
    this.#unmaskOn?.stop();
    this.#unmaskOn = undefined;
  }
}

function int32s(data: Uint8Array): Int32Array {
  return new Int32Array(data.slice().buffer, 0, data.byteLength >> 2);
}
