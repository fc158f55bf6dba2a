/** VFIO_DEVICE_IOEVENTFD: registers written when an eventfd is signalled. The checks are those of vfio_pci_rdwr.c. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_IOEVENTFD, vfio_device_ioeventfd } from '../../abi/vfio/ioeventfd.js';
import type { Argument } from '../argument.js';
import { holdEventfd } from '../irq-set.js';
import type { Registers, Width } from '../mapping.js';
import type { FdTable } from '../open-file.js';
import type { PciFunction } from '../pci/function.js';
import { regionSpan } from './regions.js';

const most = 1000;

/** The device whose registers are written: a `VfioPciDevice`. */
interface Target extends Registers {
  readonly hardware: PciFunction;
  barSize(bar: number): number;
}

interface IoEventfd {
  readonly key: string;
  stop(): void;
}

export class IoEventfds {
  readonly #device: Target;
  readonly #list = new Map<string, IoEventfd>();

  constructor(device: Target) {
    this.#device = device;
  }

  set(argument: Argument, fds: FdTable): number {
    const { minimum } = VFIO_DEVICE_IOEVENTFD;
    const request = argument.struct(vfio_device_ioeventfd, minimum);
    if (request === undefined) return -errno.EFAULT;
    const { argsz, flags, fd } = request;
    // The flag of a width is the width itself, in bytes.
    if (argsz < minimum || ![1, 2, 4, 8].includes(flags) || fd < -1) return -errno.EINVAL;
    return this.#set(
      Number(request.offset / BigInt(regionSpan)),
      Number(request.offset % BigInt(regionSpan)),
      request.data,
      flags as Width,
      fd,
      fds,
    );
  }

  #set(bar: number, at: number, data: bigint, width: Width, fd: number, fds: FdTable): number {
    const device = this.#device;
    if (at + width > device.barSize(bar)) return -errno.EINVAL;
    const table = device.hardware.msix?.table;
    if (table?.bar === bar && at + width > table.start && at < table.end) return -errno.EINVAL;
    const key = [bar, at, data, width].join();
    const known = this.#list.get(key);
    if (known !== undefined) {
      if (fd !== -1) return -errno.EEXIST;
      this.#list.delete(key);
      known.stop();
      return 0;
    }
    if (fd < 0) return -errno.ENODEV;
    if (this.#list.size >= most) return -errno.ENOSPC;
    const eventfd = holdEventfd(fds, fd);
    if (typeof eventfd === 'number') return eventfd;
    const value = BigInt.asUintN(8 * width, data);
    const stop = eventfd.onSignal(() => {
      if (device.decoding) device.writeRegister(bar, at, width, value);
    });
    this.#list.set(key, {
      key,
      stop: () => {
        stop();
        eventfd.drop();
      },
    });
    return 0;
  }

  release(): void {
    for (const each of this.#list.values()) each.stop();
    this.#list.clear();
  }
}
