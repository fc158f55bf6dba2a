/** The requests about I/O address spaces. The order of checks is that of the kernel's ioas.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_alloc,
  iommu_ioas_allow_iovas,
  iommu_ioas_copy,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
  iommu_iova_range,
} from '../../abi/iommufd/ioas.js';
import {
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  iommu_ioas_change_process,
} from '../../abi/iommufd/object.js';
import { DmaBufFile } from '../dma-buf.js';
import { IntervalMap, type Interval } from '../interval-map.js';
import type { Platform } from '../platform.js';
import { DmaBufPages, FilePages } from './file-pages.js';
import { operation, type Caller, type Context } from './operation.js';
import { UserPages } from './pages.js';
import { Ioas, top, type Access, type Slice } from './ioas.js';

const pageSize = 4096n;
const mapFlags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;

export const allocate = operation(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, ({ objects, platform }, alloc, caller) => {
  if (alloc.flags !== 0) return -errno.EOPNOTSUPP;
  const id = objects.add(new Ioas(platform));
  alloc.out_ioas_id = id;
  const result = caller.respond();
  if (result !== 0) objects.destroy(id);
  return result;
});

export const ranges = operation(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, ({ objects }, asked, caller) => {
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  const ioas = objects.find(asked.ioas_id, Ioas);
  if (ioas === undefined) return -errno.ENOENT;
  const room = asked.num_iovas;
  const found = ioas.ranges();
  const element = iommu_iova_range.create();
  for (const [index, range] of found.slice(0, room).entries()) {
    Object.assign(element, range);
    if (!caller.argument.writeAt(elementAt(asked.allowed_iovas, index), element.bytes)) return -errno.EFAULT;
  }
  asked.num_iovas = found.length;
  asked.out_iova_alignment = ioas.alignment;
  return caller.respond() || (found.length > room ? -errno.EMSGSIZE : 0);
});

export const allow = operation(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, ({ objects }, asked, caller) => {
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  const ioas = objects.find(asked.ioas_id, Ioas);
  if (ioas === undefined) return -errno.ENOENT;
  const allowed = new IntervalMap<Interval>();
  for (let index = 0; index < asked.num_iovas; index += 1) {
    const bytes = caller.argument.readAt(elementAt(asked.allowed_iovas, index), iommu_iova_range.size);
    if (bytes === undefined) return -errno.EFAULT;
    const { start, last } = iommu_iova_range.copy(bytes);
    if (start >= last || allowed.overlapping(start, last) !== undefined) return -errno.EINVAL;
    allowed.insert({ start, last });
  }
  return ioas.allow(allowed);
});

function elementAt(address: bigint, index: number): bigint {
  return BigInt.asUintN(64, address + BigInt(index * iommu_iova_range.size));
}

export const map = operation(IOMMU_IOAS_MAP, iommu_ioas_map, (context, asked, caller) =>
  asked.__reserved === 0
    ? mapPages(context, asked, caller, (writable) => userMemory(context.platform, asked.user_va, asked.length, writable))
    : -errno.EOPNOTSUPP,
);

export const mapFile = operation(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, (context, asked, caller) =>
  mapPages(context, asked, caller, (writable) => fileMemory(context, asked, writable)),
);

interface MapRequest {
  readonly flags: number;
  readonly ioas_id: number;
  readonly length: bigint;
  iova: bigint;
}

/** `find` gives new pages, or -errno. */
function mapPages({ objects }: Context, asked: MapRequest, caller: Caller, find: (writable: boolean) => Slice | number): number {
  const { flags, ioas_id, length, iova } = asked;
  if ((flags & ~mapFlags) !== 0) return -errno.EOPNOTSUPP;
  if (iova >= top || length >= top) return -errno.EOVERFLOW;
  const access = accessOf(flags);
  if (access === undefined) return -errno.EINVAL;
  const ioas = objects.find(ioas_id, Ioas);
  if (ioas === undefined) return -errno.ENOENT;
  const slice = find(access.writable);
  if (typeof slice === 'number') return slice;
  const mapped = ioas.map([slice], length, (flags & IOMMU_IOAS_MAP_FIXED_IOVA) === 0 ? undefined : iova, access);
  slice.pages.drop();
  if (typeof mapped === 'number') return mapped;
  asked.iova = mapped;
  return caller.respond();
}

/** Undefined without a direction. */
function accessOf(flags: number): Access | undefined {
  const [readable, writable] = [(flags & IOMMU_IOAS_MAP_READABLE) !== 0, (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0];
  return readable || writable ? { readable, writable } : undefined;
}

/** What iopt_map_user_pages makes of the address, or -errno. Whether there is memory shows when a device comes. */
export function userMemory({ kernel }: Platform, address: bigint, length: bigint, writable: boolean): Slice | number {
  const checks = [
    { failed: address + length > top, result: -errno.EOVERFLOW },
    { failed: length > top - pageSize || length === 0n, result: -errno.EINVAL },
  ];
  const ordered = kernel.iommufd.checksAddressFirst ? checks : checks.reverse();
  const failure = ordered.find(({ failed }) => failed);
  if (failure !== undefined) return failure.result;
  const offset = address % pageSize;
  return { pages: new UserPages(address - offset, writable), offset, length };
}

/** iopt_map_file_pages: what of the file, or -errno. */
function fileMemory({ fds }: Context, { fd, start, length }: FilePart, writable: boolean): Slice | number {
  if (length === 0n) return -errno.EINVAL;
  if (start + length - 1n > top) return -errno.EOVERFLOW;
  const file = fds.lookup(fd);
  if (file === undefined) return -errno.EBADF;
  const offset = start % pageSize;
  if (file instanceof DmaBufFile) {
    const pages = DmaBufPages.create(file, start, length, writable);
    return typeof pages === 'number' ? pages : { pages, offset, length };
  }
  return length > top - pageSize ? -errno.EINVAL : { pages: new FilePages(file, start, writable), offset, length };
}

interface FilePart {
  readonly fd: number;
  readonly start: bigint;
  readonly length: bigint;
}

export const copy = operation(IOMMU_IOAS_COPY, iommu_ioas_copy, ({ objects }, asked, caller) => {
  const { flags, dst_ioas_id, src_ioas_id, length, dst_iova, src_iova } = asked;
  if ((flags & ~mapFlags) !== 0) return -errno.EOPNOTSUPP;
  if (length >= top || src_iova >= top || dst_iova >= top) return -errno.EOVERFLOW;
  const access = accessOf(flags);
  if (access === undefined) return -errno.EINVAL;
  const source = objects.find(src_ioas_id, Ioas);
  if (source === undefined) return -errno.ENOENT;
  const slices = source.slices(src_iova, length);
  if (typeof slices === 'number') return slices;
  const destination = objects.find(dst_ioas_id, Ioas);
  if (destination === undefined) return -errno.ENOENT;
  const mapped = destination.map(slices, length, (flags & IOMMU_IOAS_MAP_FIXED_IOVA) === 0 ? undefined : dst_iova, access);
  if (typeof mapped === 'number') return mapped;
  asked.dst_iova = mapped;
  return caller.respond();
});

export const unmap = operation(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, ({ objects }, asked, caller) => {
  const { ioas_id, iova, length } = asked;
  const ioas = objects.find(ioas_id, Ioas);
  if (ioas === undefined) return -errno.ENOENT;
  const everything = iova === 0n && length === top;
  if (!everything) {
    if (iova >= top || length >= top) return -errno.EOVERFLOW;
    if (length === 0n) return -errno.EINVAL;
    if (iova + length - 1n > top) return -errno.EOVERFLOW;
  }
  const { bytes, result } = ioas.unmap(iova, everything ? top : iova + length - 1n);
  if (result !== 0) return result;
  if (bytes === 0n && !everything) return -errno.ENOENT;
  asked.length = bytes;
  return caller.respond();
});

/** Memory of a process cannot change hands, only a file's. There is no other process here that it could go to. */
export const changeProcess = operation(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, ({ objects }, asked) => {
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  for (const ioas of objects.all(Ioas)) for (const pages of ioas.pages()) if (!pages.ofFile) return -errno.EINVAL;
  return 0;
});

/** iommufd_ioas_option_huge_pages: the value read or set, or -errno. */
export function largePagesOption(ioas: Ioas | undefined, operationCode: number, value: bigint): bigint | number {
  if (ioas === undefined) return -errno.ENOENT;
  switch (operationCode) {
    case IOMMU_OPTION_OP_GET:
      return ioas.largePages ? 1n : 0n;
    case IOMMU_OPTION_OP_SET: {
      if (value > 1n) return -errno.EINVAL;
      const result = ioas.useLargePages(value === 1n);
      return result === 0 ? value : result;
    }
    default:
      return -errno.EOPNOTSUPP;
  }
}
