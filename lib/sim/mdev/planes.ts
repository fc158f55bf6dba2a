/** Graphics planes as mbochs gives them out: each picture is a dma-buf of its own. */
import { errno } from '../../abi/errno.js';
import { MAP_SHARED, PROT_WRITE } from '../../abi/system.js';
import {
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_DMABUF,
  VFIO_GFX_PLANE_TYPE_PROBE,
  vfio_device_gfx_plane_info,
} from '../../abi/vfio/gfx.js';
import type { Argument } from '../argument.js';
import { DmaBufFile } from '../dma-buf.js';
import type { FdTable } from '../open-file.js';
import type { Mode } from './dispi.js';

const pageSize = 4096;
/** DRM_FORMAT_XRGB8888 and DRM_PLANE_TYPE_PRIMARY. */
const format = 0x3432_5258;
const primary = 1;

/** A dma-buf, for other devices to reach the picture. */
class PictureFile extends DmaBufFile {
  readonly size: number;

  /** In whole pages. */
  constructor({ size }: Mode) {
    super();
    this.size = Math.ceil(size / pageSize) * pageSize;
  }

  /** The file is for reading only, the driver asks for a shared mapping, and of such a file Linux calls none shared. */
  override mmap(_length: number, protection: number, flags: number): number {
    return (flags & MAP_SHARED) !== 0 && (protection & PROT_WRITE) !== 0 ? -errno.EACCES : -errno.EINVAL;
  }
}

export class Planes {
  readonly #known = new Map<number, Mode>();
  #next = 1;

  /** QUERY_GFX_PLANE: what is shown, or a plane of nothing. */
  query(argument: Argument, mode: Mode | undefined): number {
    const { minimum } = VFIO_DEVICE_QUERY_GFX_PLANE;
    const plane = argument.struct(vfio_device_gfx_plane_info, minimum);
    if (plane === undefined) return -errno.EFAULT;
    if (plane.argsz < minimum) return -errno.EINVAL;
    if ((plane.flags & VFIO_GFX_PLANE_TYPE_PROBE) !== 0) {
      if (plane.flags !== (VFIO_GFX_PLANE_TYPE_PROBE | VFIO_GFX_PLANE_TYPE_DMABUF)) return -errno.EINVAL;
    } else {
      if (plane.flags !== VFIO_GFX_PLANE_TYPE_DMABUF) return -errno.EINVAL;
      const shown = plane.drm_plane_type === primary ? mode : undefined;
      let id = 0;
      if (shown !== undefined) {
        const found = [...this.#known].find(([, other]) => same(other, shown));
        // A picture that is new is remembered, and the driver forgets to say so: it says ENOMEM until it is asked again.
        if (found === undefined) {
          this.#known.set(this.#next++, shown);
          return -errno.ENOMEM;
        }
        id = found[0];
      }
      Object.assign(plane, { drm_format_mod: 0n, x_pos: 0, y_pos: 0, x_hot: 0, y_hot: 0, dmabuf_id: id });
      plane.drm_format = shown === undefined ? 0 : format;
      plane.width = shown?.width ?? 0;
      plane.height = shown?.height ?? 0;
      plane.stride = shown?.stride ?? 0;
      plane.size = shown?.size ?? 0;
    }
    return argument.copyTo(plane.bytes.subarray(0, minimum)) ? 0 : -errno.EFAULT;
  }

  /** GET_GFX_DMABUF: an fd. */
  export(id: number, fds: FdTable): number {
    const mode = this.#known.get(id);
    if (mode === undefined) return -errno.ENOENT;
    if (mode.offset % pageSize !== 0) return -errno.EINVAL;
    return fds.install(new PictureFile(mode));
  }

  forget(): void {
    this.#known.clear();
  }
}

function same(one: Mode, other: Mode): boolean {
  return one.width === other.width && one.height === other.height && one.stride === other.stride && one.offset === other.offset;
}
