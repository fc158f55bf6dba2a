/** The interrupts of the kernel's sample driver mtty. The order of checks is that of its mtty_set_irqs. */
import { errno } from '../../abi/errno.js';
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
} from '../../abi/vfio/irq.js';
import type { Eventfd } from '../eventfd.js';
import { holdEventfd, type IrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';

export class MttyInterrupts {
  /** The one kind that is set up, and whom it tells. */
  #enabled: { readonly index: number; readonly eventfd: Eventfd } | undefined;
  /** INTx masks itself at each delivery. */
  #masked = false;

  /** The device wants attention. */
  trigger(): void {
    if (this.#enabled === undefined) return;
    const intx = this.#enabled.index === VFIO_PCI_INTX_IRQ_INDEX;
    if (intx && this.#masked) return;
    this.#enabled.eventfd.signal();
    if (intx) this.#masked = true;
  }

  set(request: IrqSet, fds: FdTable): number {
    const { index, flags } = request;
    if (index !== VFIO_PCI_INTX_IRQ_INDEX && index !== VFIO_PCI_MSI_IRQ_INDEX) return -errno.ENOTTY;
    switch (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
      case VFIO_IRQ_SET_ACTION_MASK:
        return this.#setMask(request, true);
      case VFIO_IRQ_SET_ACTION_UNMASK:
        return this.#setMask(request, false);
      case VFIO_IRQ_SET_ACTION_TRIGGER:
        return this.#setTrigger(request, fds);
      default:
        // No action, or several: the driver finds nothing to do, and is content.
        return 0;
    }
  }

  release(): void {
    this.#enabled?.eventfd.drop();
    if (this.#enabled?.index === VFIO_PCI_INTX_IRQ_INDEX) this.#masked = false;
    this.#enabled = undefined;
  }

  #setMask({ index, flags, start, count, data }: IrqSet, masked: boolean): number {
    if (index === VFIO_PCI_MSI_IRQ_INDEX) return -errno.ENOTTY;
    if (this.#enabled?.index !== index || start !== 0 || count !== 1) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0) return -errno.ENOTTY;
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[0] !== 0) this.#masked = masked;
    return 0;
  }

  #setTrigger({ index, flags, start, count, data }: IrqSet, fds: FdTable): number {
    const enabled = this.#enabled?.index === index;
    if (enabled && count === 0 && (flags & VFIO_IRQ_SET_DATA_NONE) !== 0) {
      this.release();
      return 0;
    }
    if ((!enabled && this.#enabled !== undefined) || start !== 0 || count !== 1) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0) {
      this.release();
      const fd = new DataView(data.slice().buffer).getInt32(0, true);
      if (fd < 0) return 0;
      const eventfd = holdEventfd(fds, fd);
      if (typeof eventfd === 'number') return eventfd;
      this.#enabled = { index, eventfd };
      return 0;
    }
    if (!enabled) return -errno.EINVAL;
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || data[0] !== 0) this.trigger();
    return 0;
  }
}
