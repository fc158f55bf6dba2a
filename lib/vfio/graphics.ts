import {
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_DMABUF,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_GFX_PLANE_TYPE_REGION,
  vfio_device_gfx_plane_info,
} from '../abi/vfio/gfx.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { KernelError } from '../kernel/error.js';
import type { Resource } from '../kernel/resource.js';
import { DmaBuf } from './dma-buf.js';

/** The kinds of planes, in the order of their numbers in the DRM interface. */
const planes = ['overlay', 'primary', 'cursor'] as const;

/** A kind of plane. @useDeclaredType */
export type PlaneName = (typeof planes)[number];

/** How a device gives its picture. */
export type PlaneSource = 'region' | 'dma-buf';

const sources = { region: VFIO_GFX_PLANE_TYPE_REGION, 'dma-buf': VFIO_GFX_PLANE_TYPE_DMABUF } as const;

/** One plane of a virtual graphics device. Places in pixels, `stride` and `size` in bytes. */
export interface Plane {
  /** A code of drm_fourcc.h, and its modifier. */
  readonly format: number;
  readonly modifier: bigint;
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly size: number;
  readonly x: number;
  readonly y: number;
  readonly hotX: number;
  readonly hotY: number;
  /** The region's index, or the dma-buf's id: `Graphics.openDmaBuf(id)`. */
  readonly source: { readonly region: number } | { readonly dmaBuf: number };
}

/** The picture of a virtual graphics device. Linux 4.16. */
export class Graphics {
  readonly #owner: Resource;
  readonly #descriptor: Descriptor;

  /** @internal */
  constructor(owner: Resource, descriptor: Descriptor) {
    this.#owner = owner;
    this.#descriptor = descriptor;
  }

  /** Whether the device gives its planes that way. */
  gives(source: PlaneSource): boolean {
    try {
      this.#query(VFIO_GFX_PLANE_TYPE_PROBE | sources[source], 'primary');
      return true;
    } catch (error) {
      if (error instanceof KernelError && (error.code === 'ENOTTY' || error.code === 'EINVAL')) return false;
      throw error;
    }
  }

  /** VFIO_DEVICE_QUERY_GFX_PLANE. Undefined while the guest shows nothing there. */
  plane(source: PlaneSource, name: PlaneName = 'primary'): Plane | undefined {
    const info = this.#query(sources[source], name);
    if (info.drm_format === 0) return undefined;
    return {
      format: info.drm_format,
      modifier: info.drm_format_mod,
      width: info.width,
      height: info.height,
      stride: info.stride,
      size: info.size,
      x: info.x_pos,
      y: info.y_pos,
      hotX: info.x_hot,
      hotY: info.y_hot,
      source: source === 'region' ? { region: info.region_index } : { dmaBuf: info.dmabuf_id },
    };
  }

  /** VFIO_DEVICE_GET_GFX_DMABUF: the picture's memory as a file. */
  openDmaBuf(id: number): DmaBuf {
    const argument = new Uint8Array(Uint32Array.of(id).buffer);
    const fd = this.#descriptor.ioctl(VFIO_DEVICE_GET_GFX_DMABUF, argument);
    return new DmaBuf(this.#owner, this.#descriptor.kernel, fd, `plane ${id} of ${this.#descriptor.path}`);
  }

  #query(flags: number, name: PlaneName): ReturnType<typeof vfio_device_gfx_plane_info.create> {
    const info = vfio_device_gfx_plane_info.create();
    info.argsz = vfio_device_gfx_plane_info.size;
    info.flags = flags;
    info.drm_plane_type = planes.indexOf(name);
    this.#descriptor.ioctl(VFIO_DEVICE_QUERY_GFX_PLANE, info.bytes);
    return info;
  }
}
