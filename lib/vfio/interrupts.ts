import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  vfio_irq_info,
  vfio_irq_set,
} from '../abi/vfio/irq.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checkedInteger, CodedError, expected } from '../kernel/error.js';
import { finishAll, Resource, together } from '../kernel/resource.js';
import { Interrupt } from './interrupt.js';

/** The interrupts of a PCI device by name. `err` is an uncorrectable error, `req` the kernel wanting the device back. */
export const interruptIndex = {
  intx: VFIO_PCI_INTX_IRQ_INDEX,
  msi: VFIO_PCI_MSI_IRQ_INDEX,
  msix: VFIO_PCI_MSIX_IRQ_INDEX,
  err: VFIO_PCI_ERR_IRQ_INDEX,
  req: VFIO_PCI_REQ_IRQ_INDEX,
} as const;

/** The kinds of interrupts that vfio-pci knows; 'err' tells of errors of the bus, 'req' that the host wants the device back. @useDeclaredType */
export type InterruptName = keyof typeof interruptIndex;

/** What VFIO_DEVICE_GET_IRQ_INFO says. */
export interface InterruptInfo {
  readonly index: number;
  /** Vectors; 0: the device has none of this kind. */
  readonly count: number;
  readonly eventfd: boolean;
  readonly maskable: boolean;
  /** Masked by the kernel at each delivery. */
  readonly automasked: boolean;
  /** The number of vectors cannot grow once enabled. */
  readonly fixedSize: boolean;
}

/** One interrupt index of a device, such as its MSI-X vectors. VFIO_DEVICE_SET_IRQS in all its forms. */
export class Interrupts extends Resource {
  readonly info: InterruptInfo;
  readonly #descriptor: Descriptor;
  #vectors: readonly Interrupt[] = [];

  /** `which` is the name on a PCI device, or the index on any. @internal */
  constructor(owner: Resource, descriptor: Descriptor, which: InterruptName | number) {
    owner.assertOpen();
    const info = readInfo(descriptor, checkedIndex(which));
    super(`Interrupt ${which} of ${descriptor.path}`, owner);
    this.#descriptor = descriptor;
    this.info = info;
  }

  /** The vectors that are enabled. */
  get vectors(): readonly Interrupt[] {
    return this.#vectors;
  }

  /**
   * Enables vectors 0 to `count` − 1, each with an eventfd of its own. Only one of INTx, MSI and MSI-X can be enabled at
   * a time; to change the count, `disable()` first.
   * @throws RangeError if the device has fewer, or none; Error with code ERR_VFIO_FEWER_VECTORS if the kernel has only fewer; nothing is enabled then.
   */
  enable(count = 1): readonly Interrupt[] {
    this.assertOpen();
    if (this.info.count === 0) throw new RangeError(`${this.label}: the device has none of this kind`);
    if (!Number.isInteger(count) || count < 1 || count > this.info.count) {
      throw expected(`an integer from 1 to ${this.info.count}, the vectors there are,`, 'count', count);
    }
    if (this.#vectors.length > 0) throw new CodedError('ERR_VFIO_ENABLED', `${this.label} is enabled already; disable() it first`);
    this.#vectors = together((undo) => {
      const unmask = this.info.automasked ? () => this.unmask() : undefined;
      const vectors = Array.from({ length: count }, (_, vector) =>
        undo(new Interrupt(this, this.#descriptor.kernel, count === 1 ? this.label : `${this.label}, vector ${vector}`, unmask)),
      );
      this.#setEventfds(
        VFIO_IRQ_SET_ACTION_TRIGGER,
        0,
        vectors.map(({ fd }) => fd),
      );
      return vectors;
    });
    return this.#vectors;
  }

  /** Disables the whole index and closes its vectors. */
  disable(): void {
    if (this.#vectors.length === 0) return;
    const vectors = this.#vectors;
    this.#vectors = [];
    finishAll([
      () => this.#set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0),
      ...vectors.map((vector) => () => vector.close()),
    ]);
  }

  /** Masks the interrupt. Only INTx can be masked here; other kinds are masked in the device. */
  mask(): void {
    this.#set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1);
  }

  /** Unmasks the interrupt. If the device still asserts it, it is delivered again at once. */
  unmask(): void {
    this.#set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1);
  }

  /** Unmasks whenever the eventfd is signalled, without a system call of this process; -1 ends that. */
  unmaskOn(eventfd: number): void {
    this.#setEventfds(VFIO_IRQ_SET_ACTION_UNMASK, 0, [eventfd]);
  }

  /** Signals enabled vectors as if the device had: a test of everything but the device. */
  trigger(start = 0, count = 1): void {
    this.#set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, start, count);
  }

  /** Signals those enabled vectors from `start` whose element is true. */
  triggerEach(start: number, which: readonly boolean[]): void {
    const data = Uint8Array.from(which, (signal) => (signal ? 1 : 0));
    this.#set(VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, start, which.length, data);
  }

  /** Gives vectors from `start` other eventfds, -1 for none, where the kernel allows it while enabled. */
  setEventfds(start: number, eventfds: readonly number[]): void {
    this.#setEventfds(VFIO_IRQ_SET_ACTION_TRIGGER, start, eventfds);
  }

  #setEventfds(action: number, start: number, eventfds: readonly number[]): void {
    const data = new Uint8Array(Int32Array.from(eventfds).buffer);
    const available = this.#set(VFIO_IRQ_SET_DATA_EVENTFD | action, start, eventfds.length, data);
    if (available > 0) {
      throw new CodedError('ERR_VFIO_FEWER_VECTORS', `${this.label} has ${available} vectors but ${eventfds.length} were asked for`);
    }
  }

  #set(flags: number, start: number, count: number, data = new Uint8Array()): number {
    const set = vfio_irq_set.create(data.byteLength);
    set.argsz = vfio_irq_set.size + data.byteLength;
    set.flags = flags;
    set.index = this.info.index;
    set.start = start;
    set.count = count;
    set.data.set(data);
    return this.#descriptor.ioctl(VFIO_DEVICE_SET_IRQS, set.bytes);
  }

  protected override quiesce(): void {
    this.disable();
  }

  protected override release(): void {}
}

function checkedIndex(which: InterruptName | number): number {
  if (typeof which === 'number') return checkedInteger('which', which);
  if (!Object.hasOwn(interruptIndex, which))
    throw expected(`one of ${Object.keys(interruptIndex).join(', ')}, or an index,`, 'which', which);
  return interruptIndex[which];
}

function readInfo(descriptor: Descriptor, index: number): InterruptInfo {
  const info = vfio_irq_info.create();
  info.argsz = vfio_irq_info.size;
  info.index = index;
  descriptor.ioctl(VFIO_DEVICE_GET_IRQ_INFO, info.bytes);
  return {
    index,
    count: info.count,
    eventfd: (info.flags & VFIO_IRQ_INFO_EVENTFD) !== 0,
    maskable: (info.flags & VFIO_IRQ_INFO_MASKABLE) !== 0,
    automasked: (info.flags & VFIO_IRQ_INFO_AUTOMASKED) !== 0,
    fixedSize: (info.flags & VFIO_IRQ_INFO_NORESIZE) !== 0,
  };
}
