/** linux/vfio.h: the interrupts of a device. */
import { _IO, request } from '../ioctl.js';
import { argsz, flags, flexible, struct, u32, u8 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Can be signalled by eventfd. */
export const VFIO_IRQ_INFO_EVENTFD = 1 << 0;
export const VFIO_IRQ_INFO_MASKABLE = 1 << 1;
/** The kernel masks it at each delivery: level-triggered, unmask it after service. */
export const VFIO_IRQ_INFO_AUTOMASKED = 1 << 2;
/** To change how many are enabled, disable all first. */
export const VFIO_IRQ_INFO_NORESIZE = 1 << 3;

export const vfio_irq_info = struct('vfio_irq_info', {
  argsz,
  flags: flags('VFIO_IRQ_INFO_'),
  index: u32,
  count: u32,
});

/** Linux 3.6. */
export const VFIO_DEVICE_GET_IRQ_INFO = request('VFIO_DEVICE_GET_IRQ_INFO', _IO(VFIO_TYPE, VFIO_BASE + 9), {
  on: 'device',
  argument: vfio_irq_info,
  minimum: 'count',
});

export const VFIO_IRQ_SET_DATA_NONE = 1 << 0;
export const VFIO_IRQ_SET_DATA_BOOL = 1 << 1;
export const VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2;
export const VFIO_IRQ_SET_ACTION_MASK = 1 << 3;
export const VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5;

export const VFIO_IRQ_SET_DATA_TYPE_MASK = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER;

/** `data` is `count` bytes for DATA_BOOL, `count` 32-bit fds for DATA_EVENTFD (-1: none), nothing for DATA_NONE. */
export const vfio_irq_set = struct('vfio_irq_set', {
  argsz,
  flags: flags('VFIO_IRQ_SET_'),
  index: u32,
  start: u32,
  count: u32,
  data: flexible(u8),
});

/**
 * A positive result is not success: it is the number of vectors the kernel could give where more were asked for.
 * Linux 3.6.
 */
export const VFIO_DEVICE_SET_IRQS = request('VFIO_DEVICE_SET_IRQS', _IO(VFIO_TYPE, VFIO_BASE + 10), {
  on: 'device',
  argument: vfio_irq_set,
  minimum: 'count',
});

export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;
