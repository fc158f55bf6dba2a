import type { FileKind, Request } from '../abi/ioctl.js';
import { findRequests } from '../abi/format.js';
import { IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc } from '../abi/iommufd/fault.js';
import { IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc } from '../abi/iommufd/viommu.js';
import { VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../abi/vfio/container.js';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '../abi/vfio/feature.js';
import { VFIO_DEVICE_GET_GFX_DMABUF } from '../abi/vfio/gfx.js';
import { VFIO_GROUP_GET_DEVICE_FD } from '../abi/vfio/group.js';
import { VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, vfio_device_feature_mig_state } from '../abi/vfio/migration.js';

/** What an fd is: a file that takes requests, or one that is only read, written, mapped or watched. */
export type FdKind = FileKind | 'fault queue' | 'event queue' | 'dma-buf' | 'eventfd' | 'memfd';

/** The kind of each fd that was seen to be opened, since a request's number means another thing on each. */
export class FileKinds {
  readonly #kinds = new Map<number, FdKind>();
  /** Containers of POWER machines, where numbers of type1 mean other requests. */
  readonly #spapr = new Set<number>();

  of(fd: number): FdKind | undefined {
    return this.#kinds.get(fd);
  }

  /** The request, if it is one, and only one, that is known. */
  request(fd: number, number: number): Request | undefined {
    const kind = this.#kinds.get(fd);
    if (kind !== undefined && !takesRequests(kind)) return undefined;
    const found = findRequests(kind, number);
    if (found.length < 2) return found[0];
    if (kind === undefined) return undefined;
    const spapr = this.#spapr.has(fd);
    return found.find(({ name }) => name.includes('SPAPR') === spapr);
  }

  opened(path: string, fd: number): void {
    const kind = kindOfPath(path);
    if (kind !== undefined) this.add(fd, kind);
  }

  add(fd: number, kind: FdKind): void {
    this.#kinds.set(fd, kind);
  }

  /** A request succeeded. */
  answered(fd: number, request: Request, argument: number | Uint8Array | undefined, result: number): void {
    for (const given of fdsGiven(request, argument, result)) this.add(given.fd, given.kind);
    const spapr = argument === VFIO_SPAPR_TCE_IOMMU || argument === VFIO_SPAPR_TCE_v2_IOMMU;
    if (request.name === VFIO_SET_IOMMU.name && spapr) this.#spapr.add(fd);
  }

  closed(fd: number): void {
    this.#kinds.delete(fd);
    this.#spapr.delete(fd);
  }
}

/** The fds that a request that succeeded made, by its result or in its argument. */
export function fdsGiven({ name }: Request, argument: number | Uint8Array | undefined, result: number): { fd: number; kind: FdKind }[] {
  if (name === VFIO_GROUP_GET_DEVICE_FD.name) return [{ fd: result, kind: 'device' }];
  if (name === VFIO_DEVICE_GET_GFX_DMABUF.name) return [{ fd: result, kind: 'dma-buf' }];
  if (typeof argument !== 'object') return [];
  if (name === IOMMU_FAULT_QUEUE_ALLOC.name) return [{ fd: iommu_fault_alloc.copy(argument).out_fault_fd, kind: 'fault queue' }];
  if (name === IOMMU_VEVENTQ_ALLOC.name) return [{ fd: iommu_veventq_alloc.copy(argument).out_veventq_fd, kind: 'event queue' }];
  return name === VFIO_DEVICE_FEATURE.name ? fdsOfFeature(argument, result) : [];
}

function fdsOfFeature(argument: Uint8Array, result: number): { fd: number; kind: FdKind }[] {
  const { flags, data } = vfio_device_feature.copy(argument);
  if ((flags & VFIO_DEVICE_FEATURE_PROBE) !== 0) return [];
  const feature = flags & VFIO_DEVICE_FEATURE_MASK;
  if (feature === VFIO_DEVICE_FEATURE_DMA_BUF && (flags & VFIO_DEVICE_FEATURE_GET) !== 0) return [{ fd: result, kind: 'dma-buf' }];
  if (feature !== VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) return [];
  const { data_fd } = vfio_device_feature_mig_state.copy(data);
  return data_fd < 0 || (flags & VFIO_DEVICE_FEATURE_SET) === 0 ? [] : [{ fd: data_fd, kind: 'migration' }];
}

function takesRequests(kind: FdKind): kind is FileKind {
  return ['container', 'group', 'device', 'migration', 'iommufd'].includes(kind);
}

function kindOfPath(path: string): FdKind | undefined {
  if (path === '/dev/vfio/vfio') return 'container';
  if (path === '/dev/iommu') return 'iommufd';
  if (path.startsWith('/dev/vfio/devices/')) return 'device';
  return path.startsWith('/dev/vfio/') ? 'group' : undefined;
}
