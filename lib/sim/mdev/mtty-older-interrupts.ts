/** The interrupts of the kernel's sample driver mtty before 6.8: nothing is masked, and hardly anything refused. */
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
} from '../../abi/vfio/irq.js';
import type { Eventfd } from '../eventfd.js';
import { holdEventfd, type IrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';

export class OlderMttyInterrupts {
  /** Whom each kind tells; one that was set up last is told. The driver lets go of none when the device is closed. */
  readonly #eventfds = new Map<number, Eventfd>();
  #index = VFIO_PCI_INTX_IRQ_INDEX;

  /** The device wants attention. */
  trigger(): void {
    this.#eventfds.get(this.#index)?.signal();
  }

  set({ index, flags, data }: IrqSet, fds: FdTable): number {
    const known = index === VFIO_PCI_INTX_IRQ_INDEX || index === VFIO_PCI_MSI_IRQ_INDEX;
    if (!known || (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) !== VFIO_IRQ_SET_ACTION_TRIGGER) return 0;
    if ((flags & VFIO_IRQ_SET_DATA_NONE) !== 0) {
      // The driver drops its reference to the eventfd and goes on using it, which is one's own for as long as it is open.
      if (index === VFIO_PCI_MSI_IRQ_INDEX) this.#index = VFIO_PCI_INTX_IRQ_INDEX;
      return 0;
    }
    // Without any data the driver reads at address 0, and takes the kernel with it.
    const given = (flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0 && data.byteLength >= 4;
    const fd = given ? new DataView(data.slice().buffer).getInt32(0, true) : 0;
    if (fd <= 0 || (index === VFIO_PCI_MSI_IRQ_INDEX && this.#eventfds.has(index))) return 0;
    const eventfd = holdEventfd(fds, fd);
    if (typeof eventfd === 'number') return eventfd;
    this.#eventfds.set(index, eventfd);
    this.#index = index;
    return 0;
  }

  release(): void {}
}
