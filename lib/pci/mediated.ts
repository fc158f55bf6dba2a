import { CodedError, expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { findNode } from './topology.js';
import { list, readLinkName, readText, writeText } from './sysfs.js';

/** What a parent device can make. */
export interface MediatedType {
  /** The device or driver that makes them, as /sys/class/mdev_bus names it: 'mtty', '0000:00:02.0'. */
  readonly parent: string;
  /** 'mtty-1', 'i915-GVTg_V5_4' */
  readonly type: string;
  /** For people. */
  readonly name: string;
  /** The kind of VFIO device it becomes: 'vfio-pci'. */
  readonly deviceApi: string;
  /** How many more can be made now. */
  readonly available: number;
  /** Where the driver gives one. */
  readonly description: string | undefined;
}

/** A mediated device, until it is removed. */
export interface MediatedDevice {
  /** Its name, also for `group.openDevice`. */
  readonly uuid: string;
  /** The same, as other devices have it: `Cdev.open` takes it with `node`. */
  readonly address: string;
  /** Its own node, where the kernel has such nodes. Linux 6.6. */
  readonly node: string | undefined;
  /** Its IOMMU group, for `container.openGroup`: it has one of its own. */
  readonly group: number;
  /**
   * Makes it go away; twice is once. Close it first: the kernel waits here until nobody has it open, and this process
   * with it. The simulated kernel cannot wait and refuses.
   * @throws KernelError
   */
  remove(): void;
  [Symbol.dispose](): void;
}

const parents = '/sys/class/mdev_bus';
const devices = '/sys/bus/mdev/devices';

/** Everything the machine's parents can make, by parent and type. Empty where there is none. */
export function mediatedTypes(kernel: Kernel): MediatedType[] {
  return list(kernel, parents)
    .sort()
    .flatMap((parent) =>
      list(kernel, `${parents}/${parent}/mdev_supported_types`)
        .sort()
        .map((type) => readType(kernel, parent, type)),
    );
}

function readType(kernel: Kernel, parent: string, type: string): MediatedType {
  const path = typePath(parent, type);
  const description = `${path}/description`;
  return {
    parent,
    type,
    // A driver need not have names.
    name: kernel.files.access(`${path}/name`) < 0 ? type : readText(kernel, `${path}/name`),
    deviceApi: readText(kernel, `${path}/device_api`),
    available: Number(readText(kernel, `${path}/available_instances`)),
    description: kernel.files.access(description) < 0 ? undefined : readText(kernel, description),
  };
}

/**
 * Makes a mediated device: a part of a physical device, or a device that a driver makes up, with an IOMMU group of its
 * own and ready for VFIO.
 *
 * @param uuid its name; by default a random one.
 * @throws RangeError for what is no UUID; KernelError; an Error with code ERR_VFIO_NO_MEDIATED_TYPE where the parent does
 * not make this type, ERR_VFIO_MEDIATED_EXISTS where a device has the UUID, ERR_VFIO_NO_MEDIATED_INSTANCE where no more of
 * the type can be made.
 */
export function createMediatedDevice(
  kernel: Kernel,
  { parent, type, uuid = globalThis.crypto.randomUUID() }: { parent: string; type: string; uuid?: string },
): MediatedDevice {
  const name = parseUuid(uuid);
  assertPossible(kernel, parent, type, name);
  writeText(kernel, `${typePath(parent, type)}/create`, name);
  const path = `${devices}/${name}`;
  let removed = false;
  const remove = (): void => {
    // Somebody else's `remove` is as good.
    if (!removed && kernel.files.access(path) >= 0) writeText(kernel, `${path}/remove`, '1');
    removed = true;
  };
  const group = readLinkName(kernel, `${path}/iommu_group`);
  if (group === undefined) {
    remove();
    throw new CodedError('ERR_VFIO_NO_GROUP', `The mediated device ${name} was made and has no IOMMU group, so VFIO cannot open it`);
  }
  return { uuid: name, address: name, node: findNode(kernel, path), group: Number(group), remove, [Symbol.dispose]: remove };
}

function typePath(parent: string, type: string): string {
  return `${parents}/${parent}/mdev_supported_types/${type}`;
}

/** The form the kernel gives back. */
function parseUuid(text: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
    throw expected("a UUID like '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'", 'uuid', text);
  return text.toLowerCase();
}

/** The kernel's own answers to these are errors of a write that say little. */
function assertPossible(kernel: Kernel, parent: string, type: string, uuid: string): void {
  const types = mediatedTypes(kernel);
  const found = types.find((candidate) => candidate.parent === parent && candidate.type === type);
  if (found === undefined) {
    const known = types.map((candidate) => `${candidate.parent} makes ${candidate.type}`).join(', ');
    throw new CodedError(
      'ERR_VFIO_NO_MEDIATED_TYPE',
      `There is no mediated device of type ${type} at a parent ${parent}. ${known === '' ? `Nothing makes any here (${parents})` : known}`,
    );
  }
  if (kernel.files.access(`${devices}/${uuid}`) >= 0)
    throw new CodedError('ERR_VFIO_MEDIATED_EXISTS', `There is a mediated device ${uuid} already (${devices}/${uuid})`);
  if (found.available === 0)
    throw new CodedError('ERR_VFIO_NO_MEDIATED_INSTANCE', `${parent} can make no more devices of type ${type}; remove another first`);
}
