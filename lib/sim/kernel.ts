import { setImmediate } from 'node:timers/promises';
import { errno } from '../abi/errno.js';
import { refuseOversized, refuseOversizedMany } from '../abi/requests.js';
import { MAP_ANONYMOUS, MAP_HUGETLB, O_RDWR, O_WRONLY } from '../abi/system.js';
import { ioctlEach } from '../kernel/around.js';
import { countTo } from '../kernel/counter.js';
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
import {
  checkBytes,
  checkFd,
  checkFunction,
  checkInteger,
  checkMemory,
  checkOffset,
  checkPlacement,
  checkStructs,
  checkText,
  mostBytes,
  mostInt,
  mostNode,
  mostWord,
} from './misuse.js';
import { hugePageOf } from './huge-pages.js';
import { IommufdFile } from './iommufd/file.js';
import type { Operation } from './iommufd/operation.js';
import { noiommuKind } from './noiommu.js';
import type { FdTable, OpenFile } from './open-file.js';
import { spaprKind } from './spapr/driver.js';
import { type1Kind } from './type1/driver.js';

/** Far above what a process has, so that an fd that strays to the other kernel is EBADF there and nobody's socket. */
const firstFd = 0x4000_0000;
const mostFds = 1 << 20;
const pageSize = 4096;
const deviceNodes = '/dev/vfio/devices/';

/** What a file is opened for, by its flags. */
function wanted(flags: number): ('read' | 'write')[] {
  const way = flags & (O_WRONLY | O_RDWR);
  return way === O_RDWR ? ['read', 'write'] : [way === O_WRONLY ? 'write' : 'read'];
}

/** The machine's files: a `FileTree`. */
interface MachineFiles extends Files {
  openFile(path: string): OpenFile | undefined;
}

/** The system calls of a simulated machine: fds and dispatch; what a file is knows the file. */
export class SimulatedKernel implements Kernel, FdTable {
  readonly files: MachineFiles;
  readonly #platform: Platform;
  readonly #groups: GroupTable;
  readonly #iommuDrivers: readonly IommuDriverKind[];
  readonly #iommufdOperations: readonly Operation[];
  readonly #open = new Map<number, OpenFile>();

  constructor(platform: Platform, groups: GroupTable, files: MachineFiles, iommufdOperations: readonly Operation[]) {
    this.#platform = platform;
    this.#groups = groups;
    this.#iommuDrivers = [platform.iommu.kind === 'spapr' ? spaprKind(platform) : type1Kind(platform), noiommuKind(platform)];
    this.files = files;
    this.#iommufdOperations = iommufdOperations;
  }

  open(path: string, flags: number): number {
    checkText('path', path);
    checkInteger('flags', flags, 0, mostInt);
    const fd = this.#openNode(path, flags);
    if (fd >= 0) this.#platform.process.files.set(fd, path);
    return fd;
  }

  #openNode(path: string, flags: number): number {
    const status = this.files.stat(path);
    if (typeof status === 'number') return status;
    if (!wanted(flags).every((what) => this.#platform.process.may(what, status))) return -errno.EACCES;
    if (path === '/dev/vfio/vfio') return this.install(this.#makeContainer());
    if (path === '/dev/iommu' && hasIommufd(this.#platform))
      return this.install(new IommufdFile(this.#platform, this, this.#iommufdOperations));
    if (path === '/proc/self/pagemap') return this.install(new PagemapFile(this.#platform.physical));
    const group = [...this.#groups].find((candidate) => candidate.present && path === `/dev/vfio/${candidate.node}`);
    if (group !== undefined) return this.#openGroup(group);
    const device = path.startsWith(deviceNodes) ? this.#groups.nodes.find(path.slice(deviceNodes.length)) : undefined;
    if (device !== undefined)
      return this.#forbids(device.group) ? -errno.EPERM : this.install(new CdevFile(device.vfio, device.group, this));
    const other = this.files.openFile(path);
    return other === undefined ? -errno.EACCES : this.install(other);
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
    checkFd(fd);
    const file = this.lookup(fd);
    if (file === undefined) return -errno.EBADF;
    this.#open.delete(fd);
    this.#platform.process.files.delete(fd);
    file.drop();
    return 0;
  }

  ioctl(fd: number, request: number, argument: number | Uint8Array = 0): number {
    if (ArrayBuffer.isView(argument)) refuseOversized(request, argument);
    checkFd(fd);
    checkInteger('request', request, 0, mostWord);
    if (typeof argument === 'number') checkInteger('argument', argument, 0, Number.MAX_SAFE_INTEGER);
    else checkBytes('argument', argument);
    return this.lookup(fd)?.ioctl(request, new Argument(argument, this.#platform.memory)) ?? -errno.EBADF;
  }

  ioctlMany(fd: number, request: number, structs: Uint8Array, results: Int32Array): number {
    if (ArrayBuffer.isView(structs) && ArrayBuffer.isView(results)) refuseOversizedMany(request, structs, results.length);
    checkFd(fd);
    checkInteger('request', request, 0, mostWord);
    checkStructs(structs, results);
    return ioctlEach((...call) => this.ioctl(...call), fd, request, structs, results);
  }

  /** At once, as if the other thread had been as quick; who asked hears of it a turn of the loop later, and not before. */
  async ioctlAsync(fd: number, request: number, argument: Uint8Array, holding?: number): Promise<number> {
    if (ArrayBuffer.isView(argument)) refuseOversized(request, argument);
    checkFd(fd);
    checkInteger('request', request, 0, mostWord);
    checkBytes('argument', argument);
    if (holding !== undefined) checkInteger('holding', holding, 0, mostInt);
    const copy = argument.slice();
    const held = holding === undefined || this.#open.has(holding);
    const result = held ? this.ioctl(fd, request, copy) : -errno.EBADF;
    await setImmediate();
    if (argument.byteLength === copy.byteLength) argument.set(copy);
    return result;
  }

  read(fd: number, bytes: Uint8Array): number {
    return this.#moving(fd, bytes)?.read(bytes) ?? -errno.EBADF;
  }

  write(fd: number, bytes: Uint8Array): number {
    return this.#moving(fd, bytes)?.write(bytes) ?? -errno.EBADF;
  }

  pread(fd: number, bytes: Uint8Array, offset: number): number {
    const file = this.#moving(fd, bytes);
    checkOffset(offset);
    return file?.pread(bytes, offset) ?? -errno.EBADF;
  }

  pwrite(fd: number, bytes: Uint8Array, offset: number): number {
    const file = this.#moving(fd, bytes);
    checkOffset(offset);
    return file?.pwrite(bytes, offset) ?? -errno.EBADF;
  }

  /** The file that bytes go to or come from. */
  #moving(fd: number, bytes: Uint8Array): OpenFile | undefined {
    checkFd(fd);
    checkBytes('bytes', bytes);
    return this.lookup(fd);
  }

  mmap(fd: number, length: number, protection: number, flags: number, offset: number, node = 0): Mapping | number {
    checkInteger('fd', fd, -1, mostInt);
    checkInteger('length', length, 0, mostBytes);
    checkInteger('protection', protection, 0, mostInt);
    checkInteger('flags', flags, 0, mostInt);
    checkOffset(offset);
    checkInteger('node', node, 0, mostNode);
    checkPlacement(flags);
    // The machine has one NUMA node.
    if (length === 0 || offset % pageSize !== 0 || node !== 0) return -errno.EINVAL;
    if ((flags & MAP_ANONYMOUS) !== 0) return this.#mapAnonymous(length, protection, flags);
    return this.lookup(fd)?.mmap(length, protection, flags, offset) ?? -errno.EBADF;
  }

  #mapAnonymous(length: number, protection: number, flags: number): Mapping | number {
    const hugePage = hugePageOf(flags, MAP_HUGETLB);
    if (hugePage === 'unknown') return -errno.EINVAL;
    const { memory: space } = this.#platform;
    const memory = new ArrayBuffer(length);
    space.map(memory, hugePage);
    return new MemoryMapping(memory, protection, () => space.unmap(memory));
  }

  memfd(name: string, size: number, flags: number): number {
    checkText('name', name);
    checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER);
    checkInteger('flags', flags, 0, mostWord);
    const file = MemfdFile.create(this.#platform.memory, name, size, flags);
    return typeof file === 'number' ? file : this.install(file);
  }

  eventfd(initial: number, flags: number): number {
    checkInteger('initial', initial, 0, mostWord);
    checkInteger('flags', flags, 0, mostInt);
    return this.install(new Eventfd(initial, flags));
  }

  addressOf(memory: ArrayBuffer): bigint {
    checkMemory('memory', memory);
    return this.#platform.memory.addressOf(memory);
  }

  watch(fd: number, ready: () => void): Watch | number {
    checkFd(fd);
    checkFunction('ready', ready);
    return this.lookup(fd)?.watch(ready) ?? -errno.EBADF;
  }

  watchCount(fd: number, ready: (count: number) => void): Watch | number {
    checkFd(fd);
    checkFunction('ready', ready);
    const file = this.lookup(fd);
    if (file === undefined) return -errno.EBADF;
    return file.watch(countTo((bytes) => file.read(bytes), ready));
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
