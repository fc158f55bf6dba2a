import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  vfio_irq_set,
} from '../abi/vfio/irq.js';
import type { Argument } from './argument.js';
import { Eventfd } from './eventfd.js';
import type { FdTable } from './open-file.js';

/** A SET_IRQS whose header was found valid. `data` holds what the data type says, `count` times. */
export interface IrqSet {
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly data: Uint8Array;
}

/** What every driver checks first, as vfio_set_irqs_validate_and_prepare does. The request, or -errno. */
export function takeIrqSet(argument: Argument, indexes: number, countOf: (index: number) => number): IrqSet | number {
  const { minimum } = VFIO_DEVICE_SET_IRQS;
  const set = argument.struct(vfio_irq_set, minimum);
  if (set === undefined) return -errno.EFAULT;
  const { argsz, flags, index, start, count } = set;
  const known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
  // That argsz is too small, or that start and count exceed 32 bits together, is EINVAL too, and found below.
  if (index >= indexes || (flags & ~known) !== 0) return -errno.EINVAL;
  const available = countOf(index);
  if (start >= available || start + count > available) return -errno.EINVAL;
  const element = { [VFIO_IRQ_SET_DATA_NONE]: 0, [VFIO_IRQ_SET_DATA_BOOL]: 1, [VFIO_IRQ_SET_DATA_EVENTFD]: 4 }[
    flags & VFIO_IRQ_SET_DATA_TYPE_MASK
  ];
  if (element === undefined || argsz - minimum < count * element) return -errno.EINVAL;
  const data = argument.copyFrom(count * element, minimum);
  if (data === undefined) return -errno.EFAULT;
  return { flags, index, start, count, data };
}

/** eventfd_ctx_fdget: holds the file, or -errno. */
export function holdEventfd(fds: FdTable, fd: number): Eventfd | number {
  const file = fds.lookup(fd);
  if (file === undefined) return -errno.EBADF;
  if (!(file instanceof Eventfd)) return -errno.EINVAL;
  file.retain();
  return file;
}
