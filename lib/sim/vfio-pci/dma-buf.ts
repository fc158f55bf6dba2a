/** Dma-bufs over parts of BARs, for other devices to reach. The checks are those of the kernel's vfio_pci_dmabuf.c. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FEATURE_GET, vfio_device_feature_dma_buf, vfio_region_dma_range } from '../../abi/vfio/feature.js';
import { VFIO_PCI_ROM_REGION_INDEX } from '../../abi/vfio/region.js';
import { DmaBufFile } from '../dma-buf.js';
import type { FeatureRequest } from '../features.js';
import type { Registers, Width } from '../mapping.js';
import type { FdTable } from '../open-file.js';
import type { Pin } from '../user-memory.js';

const pageSize = 4096n;

interface Target extends Registers {
  barSize(bar: number): number;
}

/** Offsets in bytes of the BAR. */
interface Part {
  readonly offset: bigint;
  readonly length: bigint;
}

/** Those of one device, from its first open to its last close. */
export class BarExports {
  readonly #device: Target;
  readonly #files = new Set<BarFile>();

  constructor(device: Target) {
    this.#device = device;
  }

  /** The device feature DMA_BUF: the fd, or -errno. */
  export(request: FeatureRequest, fds: FdTable): number {
    const checked = request.check(VFIO_DEVICE_FEATURE_GET, vfio_device_feature_dma_buf.size);
    if (checked !== 1) return checked;
    const asked = request.payload(vfio_device_feature_dma_buf);
    if (asked === undefined) return -errno.EFAULT;
    if (asked.nr_ranges === 0 || asked.flags !== 0) return -errno.EINVAL;
    const bar = asked.region_index;
    const size = bar < VFIO_PCI_ROM_REGION_INDEX ? this.#device.barSize(bar) : 0;
    if (size === 0) return -errno.ENODEV;
    const bytes = request.bytes(vfio_device_feature_dma_buf.size, asked.nr_ranges * vfio_region_dma_range.size);
    if (bytes === undefined) return -errno.EFAULT;
    const parts = Array.from({ length: asked.nr_ranges }, (_, index): Part => {
      const { offset, length } = vfio_region_dma_range.view(bytes.buffer, index * vfio_region_dma_range.size, vfio_region_dma_range.size);
      return { offset, length };
    });
    if (parts.some(({ offset, length }) => length === 0n || (offset | length) % pageSize !== 0n)) return -errno.EINVAL;
    if (parts.some(({ offset, length }) => offset + length > BigInt(size))) return -errno.EINVAL;
    const file = new BarFile(this.#device, bar, parts, () => this.#files.delete(file));
    this.#files.add(file);
    return fds.install(file);
  }

  /** The device does not answer now, or is reset: whoever has its memory loses it. */
  revoke(): void {
    for (const file of this.#files) file.revoke();
  }

  /** The device is closed. */
  release(): void {
    for (const file of this.#files) file.close();
    this.#files.clear();
  }
}

class BarFile extends DmaBufFile {
  readonly size: number;
  #device: Registers | undefined;
  readonly #bar: number;
  readonly #parts: readonly Part[];
  readonly #released: () => void;
  readonly #holders = new Set<() => void>();

  constructor(device: Registers, bar: number, parts: readonly Part[], released: () => void) {
    super();
    this.#device = device;
    this.#bar = bar;
    this.#parts = parts;
    this.#released = released;
    this.size = parts.reduce((sum, { length }) => sum + Number(length), 0);
  }

  /** iommufd takes memory that lies together. */
  override give(revoked: () => void): Pin | number {
    const device = this.#device;
    const [part, ...others] = this.#parts;
    if (device?.decoding !== true) return -errno.ENODEV;
    if (part === undefined || others.length > 0) return -errno.EOPNOTSUPP;
    const start = Number(part.offset);
    this.#holders.add(revoked);
    return {
      read: (offset, into) => {
        for (const { at, width, bytes } of busAccesses(start + offset, into)) {
          let value = device.readRegister(this.#bar, at, width);
          for (let index = 0; index < width; index += 1, value >>= 8n) bytes[index] = Number(value & 0xffn);
        }
      },
      write: (offset, from) => {
        for (const { at, width, bytes } of busAccesses(start + offset, from))
          device.writeRegister(
            this.#bar,
            at,
            width,
            bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
          );
      },
      release: () => this.#holders.delete(revoked),
    };
  }

  revoke(): void {
    for (const holder of [...this.#holders]) holder();
  }

  close(): void {
    this.revoke();
    this.#device = undefined;
  }

  protected override release(): void {
    this.#released();
  }
}

/** As wide as they can be, each at a multiple of its width. */
function* busAccesses(start: number, bytes: Uint8Array): Generator<{ at: number; width: Width; bytes: Uint8Array }> {
  for (let done = 0; done < bytes.byteLength; ) {
    const at = start + done;
    const width = ([8, 4, 2] as const).find((wide) => bytes.byteLength - done >= wide && at % wide === 0) ?? 1;
    yield { at, width, bytes: bytes.subarray(done, done + width) };
    done += width;
  }
}
