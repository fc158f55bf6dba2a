import { O_RDONLY } from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { CodedError, expected, KernelError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';

const present = 1n << 63n;
const frameBits = (1n << 55n) - 1n;
/** The entry of the auxiliary vector that has the size of a page. */
const AT_PAGESZ = 6n;

/**
 * Where the byte at `offset` of this process's memory lies in physical memory, from /proc/self/pagemap. What follows it
 * in the memory follows it in physical memory up to the end of the page and no further. For devices without an IOMMU,
 * which know no other addresses.
 *
 * The kernel may move a page at any time, and then the device writes to memory of somebody else: only huge pages
 * (MAP_HUGETLB) stay, and those only as long as they are mapped. Takes CAP_SYS_ADMIN.
 *
 * @throws KernelError; an Error with code ERR_VFIO_PHYSICAL_ADDRESS when the kernel does not tell.
 */
export function physicalAddress(kernel: Kernel, memory: ArrayBuffer, offset = 0): bigint {
  if (!Number.isInteger(offset) || offset < 0 || offset >= memory.byteLength)
    throw expected(`an integer from 0 to ${memory.byteLength - 1}`, 'offset', offset);
  // A page that nobody wrote to is not there yet, or is the one that all share. This writes and changes nothing.
  Atomics.or(new Uint8Array(memory), offset, 0);
  return physicalAddressAt(kernel, kernel.addressOf(memory) + BigInt(offset));
}

/** The same of an address of this process, where memory is there already. */
export function physicalAddressAt(kernel: Kernel, address: bigint): bigint {
  const size = pageSize(kernel);
  const entry = readEntry(kernel, address / size);
  const frame = entry & frameBits;
  if ((entry & present) === 0n || frame === 0n) {
    throw new CodedError(
      'ERR_VFIO_PHYSICAL_ADDRESS',
      'The kernel does not tell the physical address: does the process have CAP_SYS_ADMIN, and is the memory still mapped?',
    );
  }
  return frame * size + (address % size);
}

function readEntry(kernel: Kernel, page: bigint): bigint {
  const entry = new BigUint64Array(1);
  const pagemap = Descriptor.open(kernel, '/proc/self/pagemap', O_RDONLY);
  try {
    pagemap.pread(new Uint8Array(entry.buffer), Number(page) * entry.byteLength);
  } finally {
    pagemap.close();
  }
  return entry[0] ?? 0n;
}

/** Bytes of a page. */
export function pageSize({ files }: Kernel): bigint {
  const path = '/proc/self/auxv';
  const bytes = files.readFile(path);
  if (typeof bytes === 'number') throw new KernelError(bytes, { syscall: 'read', path });
  // A copy, which begins at the start of a buffer of its own.
  const words = new BigUint64Array(new Uint8Array(bytes).buffer);
  const at = words.findIndex((word, index) => index % 2 === 0 && word === AT_PAGESZ);
  const size = words[at + 1];
  if (at < 0 || size === undefined) throw new TypeError(`${path} does not have the size of a page`);
  return size;
}
