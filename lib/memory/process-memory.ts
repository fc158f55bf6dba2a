import { errno } from '../abi/errno.js';
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_HUGE_SHIFT,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_HUGETLB,
  PROT_READ,
  PROT_WRITE,
} from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, checkedInteger, checkedPowerOfTwo, CodedError, expected, KernelError } from '../kernel/error.js';
import type { Kernel, Mapping } from '../kernel/kernel.js';
import { finishAll, together } from '../kernel/resource.js';
import type { AllocateOptions } from './allocate-options.js';
import { pageSize } from './physical-address.js';

/** A mapping that is memory. */
export type MappedMemory = Mapping & { readonly memory: ArrayBuffer };

/** What memory is made of. */
export interface MemoryOptions extends Pick<AllocateOptions, 'pageSize' | 'numaNode' | 'shared'> {
  /** Its pages are there from the start. False: `populate` brings them in. Default: true. */
  readonly populate?: boolean;
}

/** New memory of this process. */
export interface ProcessMemory {
  readonly mapping: MappedMemory;
  /** Bytes of the huge pages that it is made of. */
  readonly hugePage: bigint | undefined;
  /** The memfd it is, where it is shared. */
  readonly file: Descriptor | undefined;
  close(): void;
}

/**
 * Page-aligned memory of this process, outside V8's heap: it never moves. `size` bytes are rounded up to `unit`, and to its pages.
 *
 * Its pages are there before it is mapped for devices: before Linux 6.2, mapping for those that only read pins the one page of zeros
 * wherever nothing was written yet, and what is written later the device never sees.
 */
export function makeMemory(kernel: Kernel, size: number, unit: bigint, options: MemoryOptions = {}): ProcessMemory {
  if (options.numaNode !== undefined) checkNode(kernel, options.numaNode);
  const make = (hugePage?: bigint): ProcessMemory => {
    const page = hugePage !== undefined && hugePage > unit ? hugePage : unit;
    const bytes = Number((BigInt(checkedSize(size)) + page - 1n) & -page);
    return options.shared === true ? makeFile(kernel, bytes, hugePage, options) : makeOwn(kernel, bytes, hugePage, options);
  };
  const wanted = pagesWanted(options);
  const ordinary = wanted.length === 0 ? undefined : pageSize(kernel);
  let refused: KernelError | undefined;
  for (const page of wanted) {
    if (page === ordinary) return make();
    try {
      return make(page);
    } catch (error) {
      if (!(error instanceof KernelError) || !withoutHugePages.has(error.code)) throw error;
      refused = error;
    }
  }
  if (refused === undefined) return make();
  throw noHugePages(size, wanted, refused);
}

/** The sizes of pages that were asked for, in order. None: ordinary ones. */
export function pagesWanted({ pageSize: wanted = [] }: MemoryOptions): readonly bigint[] {
  return [wanted].flat().map((page) => checkedPowerOfTwo('pageSize', page));
}

/** What memfd_create(2) and mmap(2) answer where there are not enough huge pages, none of this size, or none at all. */
const withoutHugePages: ReadonlySet<string> = new Set(['ENOMEM', 'EINVAL', 'ENODEV', 'ENOSYS']);

function makeOwn(kernel: Kernel, size: number, hugePage: bigint | undefined, options: MemoryOptions): ProcessMemory {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | hugeBits(hugePage, MAP_HUGETLB) | populateBit(hugePage, options);
  const mapping = mapMemory(kernel, -1, size, flags, options.numaNode);
  return { mapping, hugePage, file: undefined, close: () => mapping.unmap() };
}

function makeFile(kernel: Kernel, size: number, hugePage: bigint | undefined, options: MemoryOptions): ProcessMemory {
  return together((undo) => {
    const name = 'vfio-dma';
    const flags = MFD_ALLOW_SEALING | hugeBits(hugePage, MFD_HUGETLB);
    const fd = check(kernel.memfd(name, size, flags), { syscall: 'memfd_create', path: name });
    const file = undo(Descriptor.adopt(kernel, fd, `memory file '${name}'`));
    const mapping = mapMemory(kernel, fd, size, MAP_SHARED | populateBit(hugePage, options), options.numaNode);
    return { mapping, hugePage, file, close: () => finishAll([() => mapping.unmap(), () => file.close()]) };
  });
}

/** Brings in the pages that `makeMemory` left out, without holding up the event loop. */
export async function populate({ mapping }: ProcessMemory): Promise<void> {
  const result = await mapping.populate();
  // Before Linux 5.14: by touching each.
  if (result === -errno.EINVAL)
    for (let at = 0, bytes = new Uint8Array(mapping.memory); at < bytes.length; at += smallestPage) bytes[at] = 0;
  else check(result, { syscall: 'madvise' });
}

/** No processor that Linux runs on has smaller ones. */
const smallestPage = 4096;

/** Of the huge pages of one node nothing is set aside: whether there are enough shows only when they are taken. */
function populateBit(hugePage: bigint | undefined, { populate, numaNode }: MemoryOptions): number {
  return populate === false && (hugePage === undefined || numaNode === undefined) ? 0 : MAP_POPULATE;
}

/** Memory to read and write. `flags` are mmap(2)'s. */
export function mapMemory(kernel: Kernel, fd: number, size: number, flags: number, node?: number): MappedMemory {
  const mapping = kernel.mmap(fd, size, PROT_READ | PROT_WRITE, flags, 0, node);
  if (typeof mapping === 'number') {
    check(mapping, { syscall: 'mmap' });
    throw new TypeError(`mmap answered ${mapping}`);
  }
  if (mapping.memory === undefined) {
    mapping.unmap();
    throw expected('memory whose size is sealed', 'fd', fd);
  }
  return mapping as MappedMemory;
}

/** The flag, and the size of the page as a power of two. */
function hugeBits(hugePage: bigint | undefined, flag: number): number {
  return hugePage === undefined ? 0 : flag | ((hugePage.toString(2).length - 1) << MAP_HUGE_SHIFT);
}

function checkNode({ files }: Kernel, node: number): void {
  checkedInteger('numaNode', node, mostNode);
  if (files.access(`/sys/devices/system/node/node${node}`) < 0) throw expected('a NUMA node of this machine', 'numaNode', node);
}

const mostNode = 1023;

function noHugePages(size: number, wanted: readonly bigint[], cause: KernelError): CodedError {
  const sizes = wanted.map((page) => `${page / 1024n} kB`).join(' or ');
  const [page = 0n] = wanted;
  return new CodedError(
    'ERR_VFIO_NO_HUGE_PAGES',
    `The machine has not enough free pages of ${sizes} for ${size} bytes (${cause.code}); reserve some: ` +
      `echo ${(BigInt(size) + page - 1n) / page} > /sys/kernel/mm/hugepages/hugepages-${page / 1024n}kB/nr_hugepages, ` +
      'or let pageSize have ordinary ones as its last choice',
    { cause },
  );
}

export function checkedSize(size: number): number {
  if (!Number.isSafeInteger(size) || size <= 0) throw expected('a positive integer', 'size', size);
  return size;
}
