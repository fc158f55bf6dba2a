/** What a sequence has so far, as a generator sees it: what to build on, not what the kernels must answer. */
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER } from '../../lib/abi/vfio/group.js';
import { IOMMU_FAULT_QUEUE_ALLOC } from '../../lib/abi/iommufd/fault.js';
import { IOMMU_HWPT_ALLOC } from '../../lib/abi/iommufd/hwpt.js';
import { IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP } from '../../lib/abi/iommufd/ioas.js';
import { IOMMU_DESTROY } from '../../lib/abi/iommufd/object.js';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD } from '../../lib/abi/vfio/cdev.js';
import { VFIO_SET_IOMMU } from '../../lib/abi/vfio/container.js';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import { VFIO_DEVICE_FEATURE } from '../../lib/abi/vfio/feature.js';
import type { IommuKind } from '../../lib/sim/index.js';
import type { Ioctl, Operation, Value } from './operation.js';
import type { Hardware, MediatedHardware, Shape } from './places.js';
import { placeIn, regionOf } from './pools.js';

export type LiveKind = 'container' | 'group' | 'device' | 'iommufd' | 'eventfd' | 'memfd' | 'queue' | 'migration';

export interface LiveFile {
  /** '#3' */
  readonly ref: string;
  readonly kind: LiveKind;
  /** The device's name, of its group or node. */
  readonly place: string | undefined;
  /** A device's own node. */
  readonly node: boolean;
  /** The container of a group; the iommufd a device is bound to. */
  parent: Value | undefined;
  /** A container that has an IOMMU; a device that may be used. */
  ready: boolean;
  attached: boolean;
}

export interface LiveObject {
  readonly ref: string;
  readonly kind: 'ioas' | 'hwpt' | 'device' | 'queue';
  readonly file: Value;
}

/** A part of a region that is mapped: which bytes of it. */
export interface DeviceMapping {
  readonly ref: string;
  readonly place: string | undefined;
  readonly hardware: Hardware;
  readonly region: number;
  readonly start: number;
  readonly length: number;
}

export interface Mapped {
  /** The container or iommufd, or the address space's id. */
  readonly owner: Value;
  readonly iova: Value;
  readonly size: Value;
}

const alive = (result: string): boolean => result === 'fd' || result === 'mapping' || /^\d+$/.test(result);

export class World {
  readonly files: LiveFile[] = [];
  readonly objects: LiveObject[] = [];
  readonly mapped: Mapped[] = [];
  /** mmaps of devices. */
  readonly mappings: DeviceMapping[] = [];
  /** The devices that the sequence is to get at, by name. */
  readonly wanted: string[] = [];
  readonly iommu: IommuKind;
  /** Older kernels go down by what their samples of mediated devices are asked. */
  readonly makesMediated: boolean;
  readonly #hardware: Map<string, Hardware>;

  constructor({ version, iommu, places }: Shape) {
    this.iommu = iommu;
    this.makesMediated = version !== '6.1';
    this.#hardware = new Map(places.map(({ name, hardware }) => [name, hardware]));
  }

  get noIommu(): boolean {
    return this.iommu === 'none';
  }

  /** The names of all devices. */
  get names(): string[] {
    return [...this.#hardware.keys()];
  }

  /** What sort of device the file is of. */
  hardware({ place }: LiveFile): Hardware {
    return this.#hardware.get(place ?? '') ?? 'edu';
  }

  /** Learns from what an operation did. */
  learn(operation: Operation, result: string): void {
    if (!alive(result)) return;
    const ref = `#${operation.id}`;
    switch (operation.call) {
      case 'open': {
        const [word = '', place] = operation.path.split(' ');
        if (word === 'container' || word === 'iommufd' || word === 'group') this.#add(ref, word, place);
        if (word === 'node') this.#add(ref, 'device', place, true);
        break;
      }
      case 'eventfd':
      case 'memfd':
        this.#add(ref, operation.call);
        break;
      case 'close':
        this.#forget(operation.file);
        break;
      case 'create': {
        const [parent = ''] = operation.type.split('-');
        this.#hardware.set(ref, parent as MediatedHardware);
        this.wanted.push(ref);
        break;
      }
      case 'mmap': {
        const file = this.file(operation.file);
        if (file === undefined) break;
        const { length, offset } = operation;
        const { place } = file;
        this.mappings.push({ ref, place, hardware: this.hardware(file), region: regionOf(offset), start: placeIn(offset), length });
        break;
      }
      case 'munmap':
        remove(this.mappings, (mapping) => mapping.ref === operation.mapping);
        break;
      case 'ioctl':
        this.#request(operation, ref);
        break;
    }
  }

  file(ref: Value | undefined): LiveFile | undefined {
    return this.files.find((file) => file.ref === ref);
  }

  of(kind: LiveKind): LiveFile[] {
    return this.files.filter((file) => file.kind === kind);
  }

  #request({ request, file: ref, fields = {}, words = [] }: Ioctl, own: string): void {
    const file = this.file(ref);
    if (file === undefined) return;
    switch (request) {
      case VFIO_GROUP_SET_CONTAINER.name:
        file.parent = words[0]?.[1];
        break;
      case VFIO_GROUP_UNSET_CONTAINER.name:
        file.parent = undefined;
        break;
      case VFIO_SET_IOMMU.name:
        file.ready = true;
        break;
      case VFIO_GROUP_GET_DEVICE_FD.name:
        this.#add(own, 'device', file.place).ready = true;
        break;
      case VFIO_DEVICE_BIND_IOMMUFD.name:
        file.parent = fields['iommufd'];
        file.ready = true;
        this.objects.push({ ref: `${own}.out_devid`, kind: 'device', file: fields['iommufd'] ?? 0 });
        break;
      case VFIO_DEVICE_ATTACH_IOMMUFD_PT.name:
        file.attached = true;
        if (file.parent !== undefined) this.objects.push({ ref: `${own}.pt_id`, kind: 'hwpt', file: file.parent });
        break;
      case IOMMU_IOAS_ALLOC.name:
        this.objects.push({ ref: `${own}.out_ioas_id`, kind: 'ioas', file: ref });
        break;
      case IOMMU_HWPT_ALLOC.name:
        this.objects.push({ ref: `${own}.out_hwpt_id`, kind: 'hwpt', file: ref });
        break;
      case IOMMU_FAULT_QUEUE_ALLOC.name:
        this.objects.push({ ref: `${own}.out_fault_id`, kind: 'queue', file: ref });
        this.#add(`${own}.out_fault_fd`, 'queue');
        break;
      case VFIO_DEVICE_FEATURE.name:
        if (words.some(([, , name]) => name === 'data_fd')) this.#add(`${own}.data_fd`, 'migration', file.place);
        break;
      case IOMMU_DESTROY.name:
        remove(this.objects, (object) => object.ref === fields['id']);
        break;
      case VFIO_IOMMU_MAP_DMA.name:
        this.mapped.push({ owner: ref, iova: fields['iova'] ?? 0, size: fields['size'] ?? 0 });
        break;
      case IOMMU_IOAS_MAP.name:
        this.mapped.push({ owner: fields['ioas_id'] ?? 0, iova: `${own}.iova`, size: fields['length'] ?? 0 });
        break;
    }
  }

  #add(ref: string, kind: LiveKind, place?: string, node = false): LiveFile {
    const file: LiveFile = { ref, kind, place, node, parent: undefined, ready: false, attached: false };
    this.files.push(file);
    return file;
  }

  #forget(ref: Value): void {
    remove(this.files, (file) => file.ref === ref);
    remove(this.objects, (object) => object.file === ref);
  }
}

function remove<T>(list: T[], unwanted: (entry: T) => boolean): void {
  for (let at = list.length - 1; at >= 0; at -= 1) {
    const entry = list[at];
    if (entry !== undefined && unwanted(entry)) list.splice(at, 1);
  }
}
