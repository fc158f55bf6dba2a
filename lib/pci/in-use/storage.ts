import { list, readTextIfAny, type WithFiles } from '../sysfs.js';
import type { Part } from './parts.js';
import type { Use } from './use.js';

const mountsPath = '/proc/self/mountinfo';
const swapsPath = '/proc/swaps';
const btrfsPath = '/sys/fs/btrfs';

interface Mount {
  readonly number: string;
  readonly source: string;
  readonly place: string;
}

/** What disks and partitions are used for. Read once, for all of them. */
export class StorageUses {
  readonly #kernel: WithFiles;
  readonly #mounts: readonly Mount[];
  readonly #swaps: ReadonlySet<string>;
  readonly #btrfs: ReadonlyMap<string, string>;

  constructor(kernel: WithFiles) {
    this.#kernel = kernel;
    this.#mounts = lines(kernel, mountsPath).flatMap(mountOf);
    this.#swaps = new Set(
      lines(kernel, swapsPath)
        .slice(1)
        .map((line) => unescape(line.split(/\s/)[0] ?? '')),
    );
    this.#btrfs = new Map(
      list(kernel, btrfsPath).flatMap((id) => list(kernel, `${btrfsPath}/${id}/devices`).map((name) => [name, id] as const)),
    );
  }

  of(part: Part): Use[] {
    if (part.subsystem !== 'block') return [];
    return [...this.#mountsOf(part), ...this.#swapOf(part), ...this.#holdersOf(part), ...this.#poolOf(part)];
  }

  #mountsOf({ name, number, node = `/dev/${name}` }: Part): Use[] {
    const mounts = this.#mounts.filter((mount) => mount.number === number || mount.source === node);
    const uses = mounts.map(
      ({ number: its, source, place }): Use => ({
        kind: 'mounted',
        says: place === '/' ? `${node} is the root disk: it is mounted on /` : `${node} is mounted on ${place}`,
        evidence: [{ file: mountsPath, value: `${its} ${place} ${source}` }],
      }),
    );
    const id = this.#btrfs.get(name);
    // Only one of the disks of a file system that has several is in the list of mounts.
    if (id === undefined || uses.length > 0) return uses;
    return [
      { kind: 'mounted', says: `${node} is part of a mounted btrfs`, evidence: [{ file: `${btrfsPath}/${id}/devices`, value: name }] },
    ];
  }

  #swapOf({ name, node = `/dev/${name}` }: Part): Use[] {
    return this.#swaps.has(node) ? [{ kind: 'swap', says: `${node} is swap space`, evidence: [{ file: swapsPath, value: node }] }] : [];
  }

  /** LVM, md, multipath, encryption, a cache: what stands on top of it. */
  #holdersOf({ path, name, node = `/dev/${name}` }: Part): Use[] {
    const folder = `${path}/holders`;
    return list(this.#kernel, folder).map((holder) => {
      const mapped = readTextIfAny(this.#kernel, `/sys/class/block/${holder}/dm/name`);
      const says = `${node} is part of ${holder}${mapped === undefined ? '' : ` (${mapped})`}`;
      return { kind: 'holder', says, evidence: [{ file: folder, value: holder }] };
    });
  }

  /** ZFS leaves no trace in sysfs; udev saw whose disk it is. */
  #poolOf({ number, name, node = `/dev/${name}` }: Part): Use[] {
    const file = `/run/udev/data/b${number}`;
    const known = readTextIfAny(this.#kernel, file) ?? '';
    if (!/^E:ID_FS_TYPE=zfs_member$/m.test(known)) return [];
    const pool = /^E:ID_FS_LABEL=(.+)$/m.exec(known)?.[1];
    const says = `${node} is part of ${pool === undefined ? 'a ZFS pool' : `the ZFS pool ${pool}`}`;
    return [{ kind: 'holder', says, evidence: [{ file, value: 'ID_FS_TYPE=zfs_member' }] }];
  }
}

function lines(kernel: WithFiles, path: string): string[] {
  return (readTextIfAny(kernel, path) ?? '').split('\n').filter((line) => line !== '');
}

/** '36 25 259:1 / /home rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw' */
function mountOf(line: string): Mount[] {
  const [, , number, , place] = line.split(' ');
  const source = line.split(' - ')[1]?.split(' ')[1];
  if (number === undefined || place === undefined || source === undefined) return [];
  return [{ number, place: unescape(place), source: unescape(source) }];
}

/** The kernel writes blanks and the like as octal numbers: '\040'. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
