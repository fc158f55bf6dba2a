import { errno } from '../abi/errno.js';
import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
} from '../abi/iommufd/ioas.js';
import { IOMMU_DESTROY, iommu_destroy } from '../abi/iommufd/object.js';
import type { Request } from '../abi/ioctl.js';
import {
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../abi/vfio/type1.js';
import { aroundKernel, type Answer, type KernelCall } from './around.js';
import { describeCall } from './call-text.js';
import { fdsGiven } from './file-kinds.js';
import type { Kernel } from './kernel.js';

/** Something a call gave that was not given back. */
export interface Held {
  readonly what: 'fd' | 'mapping' | 'watch' | 'IOVAs' | 'object';
  /** The call that gave it, as `trace` says it. */
  readonly call: string;
  /** Where the program made it. */
  readonly stack: string;
}

export interface AuditedKernel extends Kernel {
  /**
   * What was opened, mapped, watched or made and is there still, oldest first: fds, mappings of this process, watches, IOVAs of a
   * container or an address space, objects of /dev/iommu. What goes with an fd that is closed is not.
   */
  held(): Held[];
}

/** A kernel that makes every call on `kernel` and keeps account of what is held, and of where in the program it was taken. */
export function audit(kernel: Kernel): AuditedKernel {
  const account = new Account();
  const audited = aroundKernel(kernel, (call) => {
    const before = typeof call.argument === 'object' ? call.argument.slice() : new Uint8Array();
    const file = account.of(call.fd);
    return (answer) => {
      // What was made with an fd that is closed by now, while the call was under way, went with it.
      if (call.name === 'ioctl' && account.of(call.fd) !== file) return undefined;
      if (typeof answer !== 'number' || answer >= 0 || call.name === 'close') account.enter(call, before, answer);
      return undefined;
    };
  });
  return Object.assign(audited, { held: () => account.held });
}

/** IOVAs of one address space: a container's (space 0), or those of an IOAS, by its number. */
interface Range {
  readonly fd: number;
  readonly space: number;
  readonly start: bigint;
  readonly last: bigint;
}

/** What is held, each under what gives it back: an fd, an object's name, a mapping or watch, a range. */
class Account {
  readonly #held = new Map<unknown, Held>();
  readonly #ranges = new Set<Range>();

  get held(): Held[] {
    return [...this.#held.values()];
  }

  /** What is held under this fd. */
  of(fd: number | undefined): Held | undefined {
    return this.#held.get(fd);
  }

  enter(call: KernelCall, before: Uint8Array, answer: Answer): void {
    const add = (what: Held['what'], key: unknown): void => {
      this.#held.set(key, { what, call: describeCall({ ...call, before }), stack: stackHere() });
    };
    switch (call.name) {
      case 'open':
      case 'memfd':
      case 'eventfd':
        add('fd', answer);
        break;
      case 'close':
        // Whatever else close(2) answers, the fd is gone.
        if (answer !== -errno.EBADF) this.#closed(call.fd);
        break;
      case 'mmap':
        add('mapping', answer);
        break;
      case 'munmap':
        this.#held.delete(call.mapping);
        break;
      case 'watch':
        add('watch', answer);
        break;
      case 'unwatch':
        this.#held.delete(call.watch);
        break;
      case 'ioctl':
        for (const { fd } of call.request === undefined ? [] : fdsGiven(call.request, call.argument, Number(answer))) add('fd', fd);
        this.#made(call, before, add);
        break;
    }
  }

  #made({ fd = -1, request, argument: after }: KernelCall, before: Uint8Array, add: (what: Held['what'], key: unknown) => void): void {
    if (request === undefined || typeof after !== 'object') return;
    const mapped = rangeMapped(fd, request, after);
    if (mapped !== undefined) {
      this.#ranges.add(mapped);
      add('IOVAs', mapped);
    }
    const gone = rangeUnmapped(fd, request, before);
    if (gone !== undefined) this.#forget((range) => range.space === gone.space && gone.start <= range.start && range.last <= gone.last, fd);
    const object = objectMade(request, after);
    if (object !== undefined) add('object', objectKey(fd, object));
    if (request.name !== IOMMU_DESTROY.name) return;
    const { id } = iommu_destroy.copy(before);
    this.#held.delete(objectKey(fd, id));
    this.#forget(({ space }) => space === id, fd);
  }

  #closed(fd = -1): void {
    this.#held.delete(fd);
    this.#forget(() => true, fd);
    for (const key of this.#held.keys()) if (typeof key === 'string' && key.startsWith(objectKey(fd, ''))) this.#held.delete(key);
  }

  #forget(which: (range: Range) => boolean, fd: number): void {
    for (const range of this.#ranges) {
      if (range.fd !== fd || !which(range)) continue;
      this.#ranges.delete(range);
      this.#held.delete(range);
    }
  }
}

function objectKey(fd: number, id: number | ''): string {
  return `${fd}/${id}`;
}

/** The id that a request of /dev/iommu gave, as its declaration says. */
function objectMade({ name, on, argument: type }: Request, after: Uint8Array): number | undefined {
  if (on !== 'iommufd' || typeof type === 'string' || !name.endsWith('_ALLOC')) return undefined;
  const out = type.layout.find(({ name, field }) => /^out_\w+_id$/.test(name) && field.kind === 'scalar' && field.meaning === 'id');
  return out === undefined ? undefined : new DataView(after.slice().buffer).getUint32(out.offset, true);
}

function rangeMapped(fd: number, { name }: Request, after: Uint8Array): Range | undefined {
  const range = (space: number, start: bigint, length: bigint): Range => ({ fd, space, start, last: start + length - 1n });
  switch (name) {
    case VFIO_IOMMU_MAP_DMA.name: {
      const { flags, iova, size } = vfio_iommu_type1_dma_map.copy(after);
      return (flags & VFIO_DMA_MAP_FLAG_VADDR) === 0 ? range(0, iova, size) : undefined;
    }
    case IOMMU_IOAS_MAP.name: {
      const { ioas_id, iova, length } = iommu_ioas_map.copy(after);
      return range(ioas_id, iova, length);
    }
    case IOMMU_IOAS_MAP_FILE.name: {
      const { ioas_id, iova, length } = iommu_ioas_map_file.copy(after);
      return range(ioas_id, iova, length);
    }
    case IOMMU_IOAS_COPY.name: {
      const { dst_ioas_id, dst_iova, length } = iommu_ioas_copy.copy(after);
      return range(dst_ioas_id, dst_iova, length);
    }
    default:
      return undefined;
  }
}

function rangeUnmapped(fd: number, { name }: Request, before: Uint8Array): Range | undefined {
  const range = (space: number, start: bigint, length: bigint): Range => ({ fd, space, start, last: start + length - 1n });
  if (name === IOMMU_IOAS_UNMAP.name) {
    const { ioas_id, iova, length } = iommu_ioas_unmap.copy(before);
    return range(ioas_id, iova, length);
  }
  if (name !== VFIO_IOMMU_UNMAP_DMA.name) return undefined;
  const { flags, iova, size } = vfio_iommu_type1_dma_unmap.copy(before);
  if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) return undefined;
  return range(0, iova, (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0 ? 1n << 64n : size);
}

/** Deep enough to reach the program through the layers between. */
const depth = 40;

/** Where the program is, without the layers that keep account. */
export function stackHere(): string {
  const usual = Error.stackTraceLimit;
  Error.stackTraceLimit = depth;
  const { stack = '' } = new Error('held');
  Error.stackTraceLimit = usual;
  return stack
    .split('\n')
    .slice(1)
    .filter((line) => !/[/\\](audit|around|fail-each|fail-each-watchdog)\.[jt]s|node:/.test(line))
    .join('\n');
}
