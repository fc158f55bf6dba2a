/** Accesses of a driver that does what it is told, and the dma-bufs of one. The order of checks is that of the kernel's selftest.c. */
import { errno } from '../../../lib/abi/errno.js';
import { DmaBufFile } from '../../../lib/sim/dma-buf.js';
import { Access, type AccessDriver, type Pinned } from '../../../lib/sim/iommufd/access.js';
import { pageSize, top } from '../../../lib/sim/iommufd/ioas.js';
import type { Caller, Context } from '../../../lib/sim/iommufd/operation.js';
import type { Interval } from '../../../lib/sim/interval-map.js';
import { OpenFile } from '../../../lib/sim/open-file.js';
import type { Pin } from '../../../lib/sim/user-memory.js';
import {
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
} from './abi.js';
import type { Command, MockOperation } from './operations.js';

const mostBytes = 16n << 20n;
const mostDmaBufPages = 512n;
/** An address and a count: less than that is no room for one batch of pages. */
const leastTemporaryMemory = 12;

interface Item extends Interval {
  readonly pinned: Pinned;
}

/** An access, for which an fd stands. */
class AccessFile extends OpenFile implements AccessDriver {
  readonly access: Access;
  readonly pinsPages: boolean;
  readonly #iommufd: OpenFile;
  readonly #items = new Map<number, Item>();
  #nextItem = 0;

  constructor(context: Context, pinsPages: boolean) {
    super();
    this.pinsPages = pinsPages;
    this.#iommufd = context.file;
    this.access = Access.create(context, this);
    context.file.retain();
  }

  add(item: Item): number {
    this.#items.set(this.#nextItem, item);
    return this.#nextItem++;
  }

  /** 0 or -errno. */
  remove(id: number): number {
    const item = this.#items.get(id);
    if (item === undefined) return -errno.ENOENT;
    this.#items.delete(id);
    item.pinned.release();
    return 0;
  }

  unmap({ start, last }: Interval): void {
    for (const [id, item] of this.#items) if (item.start <= last && item.last >= start) this.remove(id);
  }

  protected override release(): void {
    this.unmap({ start: 0n, last: top });
    this.access.unbind();
    this.#iommufd.drop();
  }
}

function create(context: Context, { id, create_access: asked }: Command, caller: Caller): number {
  if ((asked.flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0) return -errno.EOPNOTSUPP;
  const file = new AccessFile(context, asked.flags !== 0);
  const attached = file.access.attach(id);
  if (typeof attached === 'number') {
    file.drop();
    return attached;
  }
  const fd = context.fds.install(file);
  asked.out_access_fd = fd;
  const result = caller.respond();
  if (result !== 0) context.fds.close(fd);
  return result;
}

function find({ fds }: Context, fd: number): AccessFile | undefined {
  const file = fds.lookup(fd);
  return file instanceof AccessFile ? file : undefined;
}

/** The IOVA counts: the mapping in its lower half, and where in it in the upper. */
function counted({ ioas }: Access, iova: bigint): bigint {
  const areas = ioas === undefined ? [] : [...ioas.parts({ start: 0n, last: top })];
  const area = areas[Number(iova & 0xffff_ffffn)];
  return area === undefined ? 0n : area.start + (iova >> 32n);
}

function pinPages(context: Context, { id, access_pages: asked }: Command, caller: Caller): number {
  const { flags, length, uptr } = asked;
  if (length > mostBytes) return -errno.ENOMEM;
  if ((flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ)) !== 0) return -errno.EOPNOTSUPP;
  const file = find(context, id);
  if (file === undefined) return -errno.EBADFD;
  if (!file.pinsPages) return -errno.EOPNOTSUPP;
  const start = (flags & MOCK_FLAGS_ACCESS_SYZ) === 0 ? asked.iova : counted(file.access, asked.iova);
  const pinned = file.access.pin(start, length, (flags & MOCK_FLAGS_ACCESS_WRITE) !== 0);
  if (typeof pinned === 'number') return pinned;
  let result = uptr === 0n ? 0 : samePages(context, pinned, uptr - (start % pageSize));
  if (result !== 0) {
    pinned.release();
    return result;
  }
  asked.out_access_pages_id = file.add({ start, last: start + length - 1n, pinned });
  result = caller.respond();
  if (result !== 0) file.remove(asked.out_access_pages_id);
  return result;
}

/** Whether the pages are those at the caller's address: 0 or -errno. */
function samePages({ platform }: Context, { slices }: Pinned, address: bigint): number {
  let at = address;
  for (const { pages, offset, length } of slices) {
    for (let done = 0n; done < length; done += pageSize, at += pageSize) {
      if (platform.memory.read(at, 1) === undefined) return -errno.EFAULT;
      if (pages.address + offset + done !== at) return -errno.EBADE;
    }
  }
  return 0;
}

function unpinPages(context: Context, { id, destroy_access_pages }: Command): number {
  return find(context, id)?.remove(destroy_access_pages.access_pages_id) ?? -errno.EBADFD;
}

function readOrWrite(context: Context, { id, access_rw: { flags, iova, length, uptr } }: Command): number {
  if (length > mostBytes) return -errno.ENOMEM;
  if ((flags & ~(MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ)) !== 0) return -errno.EOPNOTSUPP;
  const file = find(context, id);
  if (file === undefined) return -errno.EBADFD;
  const { memory } = context.platform;
  const write = (flags & MOCK_ACCESS_RW_WRITE) !== 0;
  const given = write && length > 0n ? memory.read(uptr, Number(length)) : new Uint8Array(Number(length));
  if (given === undefined) return -errno.EFAULT;
  const start = (flags & MOCK_FLAGS_ACCESS_SYZ) === 0 ? iova : counted(file.access, iova);
  const result = file.access.transfer(start, given, write);
  if (result !== 0 || write) return result;
  return memory.write(uptr, given) ? 0 : -errno.EFAULT;
}

function replace(context: Context, { id, access_replace_ioas: { ioas_id } }: Command): number {
  const result = find(context, id)?.access.replace(ioas_id) ?? -errno.EBADFD;
  return typeof result === 'number' ? result : 0;
}

/** How much memory the kernel uses for lists of pages while it works shows in nothing but its speed. */
function limitMemory(_: Context, { memory_limit: { limit } }: Command): number {
  return limit < leastTemporaryMemory ? -errno.EINVAL : 0;
}

/** Memory of the kernel's. */
class MockDmaBuf extends DmaBufFile {
  readonly size: number;
  revoked = false;
  readonly #memory: Uint8Array;
  readonly #holders = new Set<() => void>();

  constructor(size: number) {
    super();
    this.size = size;
    this.#memory = new Uint8Array(size);
  }

  override give(revoked: () => void): Pin | number {
    if (this.revoked) return -errno.ENODEV;
    this.#holders.add(revoked);
    return {
      read: (offset, into) => into.set(this.#memory.subarray(offset, offset + into.byteLength)),
      write: (offset, from) => this.#memory.set(from, offset),
      release: () => this.#holders.delete(revoked),
    };
  }

  /** Whoever has it loses it, also when it is given back. */
  revoke(revoked: boolean): void {
    this.revoked = revoked;
    for (const holder of [...this.#holders]) holder();
  }
}

/** The kernel tells nobody the fd. */
function makeDmaBuf({ fds }: Context, { dmabuf_get: { length } }: Command): number {
  const pages = (BigInt(length) + pageSize - 1n) / pageSize;
  if (pages === 0n || pages > mostDmaBufPages) return -errno.EINVAL;
  return Math.min(0, fds.install(new MockDmaBuf(Number(pages * pageSize))));
}

function revokeDmaBuf({ fds }: Context, { dmabuf_revoke: { dmabuf_fd, revoked } }: Command): number {
  const file = fds.lookup(dmabuf_fd);
  if (file === undefined) return -errno.EBADF;
  if (!(file instanceof DmaBufFile)) return -errno.EINVAL;
  if (!(file instanceof MockDmaBuf)) return -errno.EOPNOTSUPP;
  file.revoke(revoked !== 0);
  return 0;
}

export const accesses: readonly MockOperation[] = [
  { op: IOMMU_TEST_OP_CREATE_ACCESS, run: create },
  { op: IOMMU_TEST_OP_ACCESS_PAGES, run: pinPages },
  { op: IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, run: unpinPages },
  { op: IOMMU_TEST_OP_ACCESS_RW, run: readOrWrite },
  { op: IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, run: replace },
  { op: IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, run: limitMemory },
  { op: IOMMU_TEST_OP_DMABUF_GET, newer: true, run: makeDmaBuf },
  { op: IOMMU_TEST_OP_DMABUF_REVOKE, newer: true, run: revokeDmaBuf },
];
