import { errno } from '../abi/errno.js';
import { refuseOversized } from '../abi/requests.js';
import { MAP_ANONYMOUS, MAP_HUGETLB } from '../abi/system.js';
import { checkedInteger, expected } from '../kernel/error.js';
import type { Files, Kernel, Mapping, Watch } from '../kernel/kernel.js';
import { Argument } from './argument.js';
import { CdevFile } from './cdev.js';
import { ContainerFile } from './container.js';
import { Eventfd } from './eventfd.js';
import { GroupFile } from './group.js';
import type { GroupTable } from './group-table.js';
import type { IommuDriverKind } from './iommu-driver.js';
import type { IommuGroup } from './iommu-group.js';
import { PagemapFile } from './physical-memory.js';
import { hasIommufd, type Platform } from './platform.js';
import { MemoryMapping } from './mapping.js';
import { MemfdFile } from './memfd.js';
import { IommufdFile } from './iommufd/file.js';
import type { Operation } from './iommufd/operation.js';
import { noiommuKind } from './noiommu.js';
import type { FdTable, OpenFile } from './open-file.js';
import { spaprKind } from './spapr/driver.js';
import { type1Kind } from './type1/driver.js';

/** Far above what a process has, so that an fd that strays to the other kernel is EBADF there and nobody's socket. */
const firstFd = 0x4000_0000;
const mostFds = 1 << 20;
/** Longer addresses do not fit in user space. */
const mostBytes = 2 ** 47;
const pageSize = 4096;
const deviceNodes = '/dev/vfio/devices/';

/** The system calls of a simulated machine: fds and dispatch; what a file is knows the file. */
export class SimulatedKernel implements Kernel, FdTable {
  readonly files: Files;
  readonly #platform: Platform;
  readonly #groups: GroupTable;
  readonly #iommuDrivers: readonly IommuDriverKind[];
  readonly #iommufdOperations: readonly Operation[];
  readonly #open = new Map<number, OpenFile>();

  constructor(platform: Platform, groups: GroupTable, files: Files, iommufdOperations: readonly Operation[]) {
    this.#platform = platform;
    this.#groups = groups;
    this.#iommuDrivers = [platform.iommu.kind === 'spapr' ? spaprKind(platform) : type1Kind(platform), noiommuKind(platform)];
    this.files = files;
    this.#iommufdOperations = iommufdOperations;
  }

  open(path: string, _flags: number): number {
    if (path === '/dev/vfio/vfio') return this.install(this.#makeContainer());
    if (path === '/dev/iommu' && hasIommufd(this.#platform))
      return this.install(new IommufdFile(this.#platform, this, this.#iommufdOperations));
    if (path === '/proc/self/pagemap') return this.install(new PagemapFile(this.#platform.physical));
    const group = [...this.#groups].find((candidate) => candidate.present && path === `/dev/vfio/${candidate.node}`);
    if (group !== undefined) return this.#openGroup(group);
    const device = path.startsWith(deviceNodes) ? this.#groups.nodes.find(path.slice(deviceNodes.length)) : undefined;
    if (device !== undefined)
      return this.#forbids(device.group) ? -errno.EPERM : this.install(new CdevFile(device.vfio, device.group, this));
    const found = this.files.access(path);
    return found < 0 ? found : -errno.EACCES;
  }

  /** iommufd counts locked memory as VFIO does when it stands in for it. */
  #makeContainer(): OpenFile {
    return this.#platform.container === 'vfio'
      ? new ContainerFile(this.#iommuDrivers)
      : new IommufdFile(this.#platform, this, this.#iommufdOperations, { accountsToProcess: true });
  }

  /** What has no IOMMU is for those alone who could reach all memory anyway. */
  #forbids(group: IommuGroup): boolean {
    return group.kind === 'noiommu' && !this.#platform.rawIo;
  }

  #openGroup(group: IommuGroup): number {
    if (this.#forbids(group)) return -errno.EPERM;
    return group.opened === undefined && group.cdevsOpen === 0 ? this.install(new GroupFile(group, this, this.#platform)) : -errno.EBUSY;
  }

  close(fd: number): number {
    const file = this.#file(fd);
    if (file === undefined) return -errno.EBADF;
    this.#open.delete(fd);
    file.drop();
    return 0;
  }

  ioctl(fd: number, request: number, argument: number | Uint8Array = 0): number {
    if (argument instanceof Uint8Array) refuseOversized(request, argument);
    return this.#file(fd)?.ioctl(request, new Argument(argument, this.#platform.memory)) ?? -errno.EBADF;
  }

  read(fd: number, bytes: Uint8Array): number {
    return this.#file(fd)?.read(bytes) ?? -errno.EBADF;
  }

  write(fd: number, bytes: Uint8Array): number {
    return this.#file(fd)?.write(bytes) ?? -errno.EBADF;
  }

  pread(fd: number, bytes: Uint8Array, offset: number): number {
    return this.#file(fd)?.pread(bytes, checkOffset(offset)) ?? -errno.EBADF;
  }

  pwrite(fd: number, bytes: Uint8Array, offset: number): number {
    return this.#file(fd)?.pwrite(bytes, checkOffset(offset)) ?? -errno.EBADF;
  }

  mmap(fd: number, length: number, protection: number, flags: number, offset: number): Mapping | number {
    if (!Number.isInteger(length) || length < 0 || length > mostBytes)
      throw expected(`an integer from 0 to ${mostBytes}`, 'length', length);
    if (length === 0 || checkOffset(offset) % pageSize !== 0) return -errno.EINVAL;
    if ((flags & MAP_ANONYMOUS) !== 0)
      return new MemoryMapping(this.#platform.memory, length, protection, { huge: (flags & MAP_HUGETLB) !== 0 });
    return this.lookup(fd)?.mmap(length, protection, flags, offset) ?? -errno.EBADF;
  }

  memfd(name: string, size: number, flags: number): number {
    if (!Number.isSafeInteger(size) || size < 0) throw expected('an integer from 0 to 9007199254740991', 'size', size);
    const file = MemfdFile.create(name, size, flags);
    return typeof file === 'number' ? file : this.install(file);
  }

  eventfd(initial: number, flags: number): number {
    return this.install(new Eventfd(initial, flags));
  }

  addressOf(memory: ArrayBuffer): bigint {
    if (memory.byteLength === 0) throw expected('an ArrayBuffer with bytes', 'memory', 0);
    return this.#platform.memory.addressOf(memory);
  }

  watch(fd: number, ready: () => void): Watch | number {
    return this.#file(fd)?.watch(ready) ?? -errno.EBADF;
  }

  /** Of a caller's fd. One below 0 is none at all, as the real kernel's addon has it. */
  #file(fd: number): OpenFile | undefined {
    return this.lookup(checkedInteger('fd', fd, 0x7fff_ffff));
  }

  lookup(fd: number): OpenFile | undefined {
    return this.#open.get(fd);
  }

  /** The lowest free number, as POSIX wants it. */
  install(file: OpenFile): number {
    for (let fd = firstFd; fd < firstFd + mostFds; fd += 1) {
      if (this.#open.has(fd)) continue;
      this.#open.set(fd, file);
      return fd;
    }
    file.drop();
    return -errno.EMFILE;
  }
}

function checkOffset(offset: number): number {
  if (!Number.isSafeInteger(offset) || offset < 0) throw expected('an integer from 0 to 9007199254740991', 'offset', offset);
  return offset;
}
