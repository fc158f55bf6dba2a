import { isAddress } from '../address.js';
import { list, readLinkName, readTextIfAny, type WithFiles } from '../sysfs.js';
import { devicesPath } from '../topology.js';

/** What a driver made of a device: a disk, a partition of it, a network interface, a display; as sysfs has it below the device. */
export interface Part {
  /** 'block', 'net', 'nvme', 'drm': what the kernel calls its kind. */
  readonly subsystem: string;
  /** 'nvme0n1p1' */
  readonly name: string;
  readonly path: string;
  /** The two numbers of its node, '259:1', if it has one. */
  readonly number: string | undefined;
  /** Its node, '/dev/nvme0n1p1'. */
  readonly node: string | undefined;
}

/** Links make no circles here, as none is followed; this is for files that somebody invented. */
const deepest = 16;

/** All parts of the device, without those of devices behind it. */
export function partsOf(kernel: WithFiles, address: string): Part[] {
  const parts = below(kernel, `${devicesPath}/${address}`, deepest);
  const controllers = parts.filter(({ subsystem }) => subsystem === 'nvme');
  return [...parts, ...controllers.flatMap(({ name }) => sharedNamespaces(kernel, name))];
}

function below(kernel: WithFiles, folder: string, depth: number): Part[] {
  if (depth === 0) return [];
  return list(kernel, folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    // An address is that of a device behind this one.
    if (isAddress(name) || typeof kernel.files.readlink(path) === 'string') return [];
    return [...partAt(kernel, path, name), ...below(kernel, path, depth - 1)];
  });
}

function partAt(kernel: WithFiles, path: string, name: string): Part[] {
  const subsystem = readLinkName(kernel, `${path}/subsystem`);
  if (subsystem === undefined) return [];
  const nodeName = /^DEVNAME=(.+)$/m.exec(readTextIfAny(kernel, `${path}/uevent`) ?? '')?.[1];
  return [{ subsystem, name, path, number: readTextIfAny(kernel, `${path}/dev`), node: nodeName && `/dev/${nodeName}` }];
}

/** Namespaces of an NVMe drive that several controllers may reach are below none of them, but below their subsystem. */
function sharedNamespaces(kernel: WithFiles, controller: string): Part[] {
  const folder = '/sys/class/nvme-subsystem';
  return list(kernel, folder)
    .map((name) => `${folder}/${name}`)
    .filter((path) => kernel.files.access(`${path}/${controller}`) === 0)
    .flatMap((path) =>
      list(kernel, path)
        .filter((name) => /^nvme\d+n\d+$/.test(name))
        .flatMap((name) => [...partAt(kernel, `${path}/${name}`, name), ...below(kernel, `${path}/${name}`, 2)]),
    );
}
