/** Mediated devices: parents that make them, and the bus they are on, as the kernel's mdev_core.c and mdev_sysfs.c have it. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_API_PCI_STRING } from '../../abi/vfio/device.js';
import { nodeEntries } from '../device-nodes.js';
import { command, directory, line, link, type FileNode } from '../file-node.js';
import type { GroupTable } from '../group-table.js';
import type { IommuGroup } from '../iommu-group.js';
import type { VfioDevice } from '../vfio-device.js';

/** What a driver offers of one type. */
export interface MdevType {
  /** What its folder has behind the parent's name and a hyphen. */
  readonly name: string;
  readonly title: string;
  readonly description?: string;
  /** How many more there can be. */
  available(): number;
  /** The device, or -errno. */
  create(uuid: string): VfioDevice | number;
  /** One of them is no more. */
  removed(): void;
  /** The driver's own files of a device. */
  attributes(uuid: string): Readonly<Record<string, string>>;
}

/** A driver, which is also its parent's name. */
export interface MdevDriver {
  readonly name: string;
  readonly types: readonly MdevType[];
}

/** A mediated device, the one member of its group. */
interface Mediated {
  readonly address: string;
  readonly path: string;
  readonly driver: string;
  readonly vfio: VfioDevice;
  readonly parent: MdevDriver;
  readonly type: MdevType;
  readonly group: IommuGroup;
  /** What it is called among the devices that VFIO has, and its own node, if it has one. */
  readonly vfioName: string;
  readonly hasNode: boolean;
}

const uuidLength = 36;

export class MdevBus {
  readonly #parents: readonly MdevDriver[];
  readonly #groups: GroupTable;
  readonly #devices = new Map<string, Mediated>();

  /** `groups` are those of the machine, to which each device adds its own. */
  constructor(parents: readonly MdevDriver[], groups: GroupTable) {
    this.#parents = parents;
    this.#groups = groups;
  }

  /** The device by its UUID. */
  find(uuid: string): VfioDevice | undefined {
    return this.#devices.get(uuid)?.vfio;
  }

  /** Nobody has it open. */
  remove(uuid: string): void {
    const device = this.#devices.get(uuid);
    if (device === undefined) return;
    this.#devices.delete(uuid);
    device.group.opened?.revoke();
    this.#groups.nodes.remove(device.vfioName);
    this.#groups.remove(device.group);
    device.type.removed();
  }

  /** Of /sys/bus. */
  get busEntries(): Readonly<Record<string, FileNode>> {
    if (this.#parents.length === 0) return {};
    const linksFrom = (up: string, devices: readonly Mediated[]): Record<string, FileNode> =>
      Object.fromEntries(devices.map(({ address, path }) => [address, link(() => `${up}/${path}`)]));
    return {
      mdev: directory(() => ({
        devices: directory(() => linksFrom('../../..', [...this.#devices.values()])),
        drivers: directory(() =>
          Object.fromEntries(this.#parents.map((parent) => [parent.name, directory(() => linksFrom('../../../..', this.#of(parent)))])),
        ),
      })),
    };
  }

  /** Of /sys/class. */
  get classEntries(): Readonly<Record<string, FileNode>> {
    if (this.#parents.length === 0) return {};
    const parents = Object.fromEntries(this.#parents.map(({ name }) => [name, link(() => `../../devices/virtual/${name}/${name}`)]));
    return { mdev_bus: directory(() => parents) };
  }

  /** Of /sys/devices. */
  get deviceEntries(): Readonly<Record<string, FileNode>> {
    if (this.#parents.length === 0) return {};
    const parents = (): Record<string, FileNode> =>
      Object.fromEntries(
        this.#parents.map((parent) => [parent.name, directory(() => ({ [parent.name]: directory(() => this.#parentEntries(parent)) }))]),
      );
    return { virtual: directory(parents) };
  }

  #of(parent: MdevDriver, type?: MdevType): Mediated[] {
    return [...this.#devices.values()].filter((device) => device.parent === parent && (type === undefined || device.type === type));
  }

  #parentEntries(parent: MdevDriver): Record<string, FileNode> {
    return {
      mdev_supported_types: directory(() =>
        Object.fromEntries(parent.types.map((type) => [folderName(parent, type), directory(() => this.#typeEntries(parent, type))])),
      ),
      ...Object.fromEntries(this.#of(parent).map((device) => [device.address, directory(() => this.#deviceEntries(device))])),
    };
  }

  #typeEntries(parent: MdevDriver, type: MdevType): Record<string, FileNode> {
    const { description } = type;
    return {
      name: line(() => type.title),
      available_instances: line(() => String(type.available())),
      device_api: line(() => VFIO_DEVICE_API_PCI_STRING),
      ...(description !== undefined && { description: line(() => description) }),
      create: command((text) => this.#create(parent, type, text)),
      devices: directory(() =>
        Object.fromEntries(this.#of(parent, type).map(({ address }) => [address, link(() => `../../../${address}`)])),
      ),
    };
  }

  #deviceEntries({ address, parent, type, group, vfioName, hasNode }: Mediated): Record<string, FileNode> {
    const attributes = Object.entries(type.attributes(address)).map(([name, text]) => [name, line(() => text)]);
    return {
      remove: command((text) => this.#remove(address, text)),
      mdev_type: link(() => `../mdev_supported_types/${folderName(parent, type)}`),
      iommu_group: link(() => `../../../../../kernel/iommu_groups/${group.number}`),
      driver: link(() => `../../../../../bus/mdev/drivers/${parent.name}`),
      subsystem: link(() => '../../../../../bus/mdev'),
      ...nodeEntries(vfioName, hasNode),
      vendor: directory(() => Object.fromEntries(attributes) as Record<string, FileNode>),
    };
  }

  #create(parent: MdevDriver, type: MdevType, text: string): number {
    // What comes after the UUID is one character at most, and any.
    if (text.length > uuidLength + 1) return -errno.EINVAL;
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i.test(text)) return -errno.EINVAL;
    const uuid = text.slice(0, uuidLength).toLowerCase();
    if (this.#devices.has(uuid)) return -errno.EEXIST;
    const vfio = type.create(uuid);
    if (typeof vfio === 'number') return vfio;
    const group = this.#groups.makeEmulated();
    const path = `devices/virtual/${parent.name}/${parent.name}/${uuid}`;
    const hasNode = this.#groups.givesNodes(group);
    const vfioName = this.#groups.nodes.add(vfio, group, hasNode);
    const device: Mediated = { address: uuid, path, driver: parent.name, vfio, parent, type, group, vfioName, hasNode };
    group.slots.push(device);
    this.#devices.set(uuid, device);
    return 0;
  }

  #remove(uuid: string, text: string): number {
    const wanted = parseUnsigned(text);
    if (wanted === undefined) return -errno.EINVAL;
    if (wanted === 0n) return 0;
    if (this.find(uuid)?.isHeld === true) {
      // The real kernel makes the writer wait until the device is let go; here waiting would stop the only thread there
      // is, so the write is refused and can be repeated. `Machine.unbind` waits.
      this.find(uuid)?.askBack();
      return -errno.EBUSY;
    }
    this.remove(uuid);
    return 0;
  }
}

function folderName(parent: MdevDriver, type: MdevType): string {
  return `${parent.name}-${type.name}`;
}

/** kstrtoul with base 0: decimal, octal after 0, hexadecimal after 0x, one newline at the end. */
function parseUnsigned(text: string): bigint | undefined {
  const digits = /^\+?(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)\n?$/i.exec(text)?.[1];
  if (digits === undefined) return undefined;
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return value > 0xffff_ffff_ffff_ffffn ? undefined : value;
}
