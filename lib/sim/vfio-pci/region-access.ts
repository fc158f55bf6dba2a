/** How a transfer of any length at any offset becomes accesses of a bus: vfio_pci_core_do_io_rw. */
import { errno } from '../../abi/errno.js';
import type { Width } from '../mapping.js';

/** The window that a transfer goes to. Offsets and sizes in bytes. */
export interface Window {
  readonly size: number;
  /** A part that nobody reaches: it reads as ones, and writes to it are dropped. */
  readonly hidden?: { readonly start: number; readonly end: number } | undefined;
  readonly widest: Width;
  /** Whether it answers now. */
  readonly answers: () => boolean;
}

/** One access, or a part of the transfer that is hidden: `width` is undefined then. */
export type Access = (width: Width | undefined, at: number, part: Uint8Array) => void;

/** The transfer is cut at the window's end, and into the widest aligned accesses. Bytes, or -errno. */
export function transfer(
  bytes: Uint8Array,
  at: number,
  { size, hidden = { start: size, end: size }, widest, answers }: Window,
  access: Access,
): number {
  if (at >= size) return -errno.EINVAL;
  const count = Math.min(bytes.byteLength, size - at);
  for (let done = 0; done < count; ) {
    const position = at + done;
    const left = count - done;
    if (position >= hidden.start && position < hidden.end) {
      const dropped = Math.min(left, hidden.end - position);
      access(undefined, position, bytes.subarray(done, done + dropped));
      done += dropped;
      continue;
    }
    if (!answers()) return -errno.EIO;
    const room = position < hidden.start ? Math.min(left, hidden.start - position) : left;
    const width = ([8, 4, 2] as const).find((wide) => wide <= widest && room >= wide && position % wide === 0) ?? 1;
    access(width, position, bytes.subarray(done, done + width));
    done += width;
  }
  return count;
}

const signature = 0xaa55;
/** 'PCIR' */
const structureSignature = 0x5249_4350;
const [structureAt, lengthAt, lastAt] = [0x18, 0x10, 0x15];
const lastImage = 0x80;

/** pci_get_rom_size: bytes of the images in a ROM; 0 if it begins with none. */
export function romLength(rom: Uint8Array): number {
  const view = new DataView(rom.buffer, rom.byteOffset, rom.byteLength);
  const has = (at: number, length: number): boolean => at + length <= rom.byteLength;
  let image = 0;
  for (;;) {
    if (!has(image, structureAt + 2) || view.getUint16(image, true) !== signature) return Math.min(image, rom.byteLength);
    const structure = image + view.getUint16(image + structureAt, true);
    if (!has(structure, lastAt + 1) || view.getUint32(structure, true) !== structureSignature) return Math.min(image, rom.byteLength);
    const length = 512 * view.getUint16(structure + lengthAt, true);
    image += length;
    if (length === 0 || (view.getUint8(structure + lastAt) & lastImage) !== 0) return Math.min(image, rom.byteLength);
  }
}
