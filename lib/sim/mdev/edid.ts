/** The monitor region of mbochs: `struct vfio_region_gfx_edid`, and in the second half of the page the EDID itself. */
import { VFIO_DEVICE_GFX_LINK_STATE_UP, vfio_region_gfx_edid } from '../../abi/vfio/region.js';

const blobOffset = 2048;
const blobSize = 1024;
const edidSizeAt = 8;
const linkStateAt = 20;

export class Edid {
  readonly #registers = vfio_region_gfx_edid.create();
  readonly #blob = new Uint8Array(blobSize);

  constructor(width: number, height: number) {
    this.#registers.edid_offset = blobOffset;
    this.#registers.edid_max_size = blobSize;
    this.#registers.max_xres = width;
    this.#registers.max_yres = height;
  }

  /** Words, of which the user writes two, and then the EDID. An access elsewhere moves nothing. */
  access(offset: number, piece: Uint8Array, write: boolean): void {
    if (offset >= blobOffset) {
      const at = offset - blobOffset;
      if (at + piece.byteLength > blobSize) return;
      if (write) this.#blob.set(piece, at);
      else piece.set(this.#blob.subarray(at, at + piece.byteLength));
      return;
    }
    const { bytes } = this.#registers;
    if (piece.byteLength !== 4) return;
    if (!write) piece.set(bytes.subarray(offset, offset + 4));
    else if (offset === edidSizeAt || offset === linkStateAt) bytes.set(piece, offset);
  }

  /** The EDID as the device's registers show it to the guest; false where they are other registers. */
  readBlock(offset: number, piece: Uint8Array): boolean {
    if (offset >= blobSize) return false;
    piece.fill(0);
    const { link_state: link, edid_size: size } = this.#registers;
    if (link === VFIO_DEVICE_GFX_LINK_STATE_UP && offset < size) piece.set(this.#blob.subarray(offset, offset + piece.byteLength));
    return true;
  }
}
