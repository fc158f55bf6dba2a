import { describeErrno, errno } from '../abi/errno.js';
import type { FileStatus, Kernel } from '../kernel/kernel.js';
import { readOverride } from '../pci/driver.js';
import { hasVfioDriver } from '../pci/group.js';
import { list, readLinkName } from '../pci/sysfs.js';
import { devicesPath, findDevices, type PciDevice } from '../pci/topology.js';
import type { Evidence } from '../pci/evidence.js';
import { CannotLook } from './finding.js';
import { Process } from './process.js';

/** What checks look at: the files of a machine, and where there is more than files, what its kernel logged. @inline */
export type Looked = Pick<Kernel, 'files'> & Partial<Pick<Kernel, 'open' | 'read' | 'close'>>;

/** One look at a machine: each thing is read once. */
export class Scene {
  readonly kernel: Looked;
  /** The one device that is asked about; undefined: all that VFIO has or is to have. */
  readonly asked: string | undefined;
  /** What is quite usual is told as well, as somebody asks for it by name. */
  readonly curious: boolean;
  #all: PciDevice[] | undefined;
  #process: Process | undefined;

  constructor(kernel: Looked, { asked, curious }: { asked: string | undefined; curious: boolean }) {
    this.kernel = kernel;
    this.asked = asked;
    this.curious = curious;
  }

  /** A file's text; undefined where there is none. @throws CannotLook where it may not be read. */
  find(path: string): string | undefined {
    const bytes = this.kernel.files.readFile(path);
    if (typeof bytes !== 'number') return new TextDecoder().decode(bytes).replace(/\n$/, '');
    if (bytes === -errno.EACCES || bytes === -errno.EPERM) throw new CannotLook(`needs root to read ${path}`);
    return undefined;
  }

  /** The text of a file that every machine has. @throws CannotLook without it. */
  text(path: string): string {
    const text = this.find(path);
    if (text === undefined) throw new CannotLook(`there is no ${path}`);
    return text;
  }

  bytes(path: string): Uint8Array | undefined {
    const bytes = this.kernel.files.readFile(path);
    return typeof bytes === 'number' ? undefined : bytes;
  }

  /** The names in a folder; none where there is no folder. */
  names(path: string): string[] {
    return list(this.kernel, path);
  }

  exists(path: string): boolean {
    return this.kernel.files.access(path) >= 0;
  }

  status(path: string): FileStatus | undefined {
    const status = this.kernel.files.stat(path);
    return typeof status === 'number' ? undefined : status;
  }

  /** The last part of a link's target. */
  linkName(path: string): string | undefined {
    return readLinkName(this.kernel, path);
  }

  /** @throws CannotLook where there is no procfs. */
  get process(): Process {
    return (this.#process ??= new Process(this.text('/proc/self/status'), this.text('/proc/self/limits')));
  }

  get all(): readonly PciDevice[] {
    return (this.#all ??= findDevices(this.kernel));
  }

  /** The devices to look at: the one asked about, or those that VFIO has or is to have. */
  get devices(): readonly PciDevice[] {
    if (this.asked !== undefined) return this.all.filter(({ address }) => address === this.asked);
    return this.all.filter((device) => this.isVfio(device) || this.override(device) === 'vfio-pci');
  }

  /** Those of them that VFIO has. */
  get vfioDevices(): readonly PciDevice[] {
    return this.devices.filter((device) => this.isVfio(device));
  }

  /** A driver of VFIO has it. */
  isVfio(device: PciDevice): boolean {
    return hasVfioDriver(this.kernel, device);
  }

  /** Which driver alone may have it. */
  override({ address }: PciDevice): string | undefined {
    return readOverride(this.kernel, address);
  }
}

export function folderOf(address: string): string {
  return `${devicesPath}/${address}`;
}

/** What stands in that file. */
export function line(file: string, value: string | number | undefined): Evidence {
  return { file, value: value === undefined ? '(none)' : String(value) };
}

/** Why a file could not be had, in the words of an errno. */
export function reason(negative: number): string {
  const { code, text } = describeErrno(-negative);
  return `${code}: ${text}`;
}
