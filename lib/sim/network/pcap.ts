/** The file format of tcpdump and Wireshark: a header of 24 bytes, and frames with a header of 16 each. */
import { expected } from '../../kernel/error.js';

/** A frame and when it was seen. */
export interface CapturedFrame {
  /** From the destination's address on, without the checksum. */
  readonly bytes: Uint8Array;
  /** Since 1970, in nanoseconds. */
  readonly time: bigint;
}

const [microseconds, nanoseconds] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const [fileHeader, frameHeader] = [24, 16];
const ethernet = 1;
const longestFrame = 0x4_0000;
const second = 1_000_000_000n;

/**
 * The frames of a capture, of either byte order and with times in micro- or nanoseconds. A frame at the end that was cut off
 * is left out.
 * @throws RangeError when it is no capture of Ethernet in this format; of pcapng, for one
 */
export function readPcap(file: Uint8Array): CapturedFrame[] {
  if (file.byteLength < fileHeader) throw expected(`a pcap file of at least ${fileHeader} bytes`, 'file', file.byteLength);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const little = [microseconds, nanoseconds].includes(view.getUint32(0, true));
  const magic = view.getUint32(0, little);
  if (magic !== microseconds && magic !== nanoseconds)
    throw expected('a pcap file', 'file', `one that begins with 0x${magic.toString(16)}`);
  const link = view.getUint32(20, little) & 0xfff_ffff;
  if (link !== ethernet) throw expected('a capture of Ethernet, link type 1,', 'file', `one of link type ${link}`);
  const unit = magic === nanoseconds ? 1n : 1000n;
  const frames: CapturedFrame[] = [];
  for (let at = fileHeader; at + frameHeader <= file.byteLength; ) {
    const size = view.getUint32(at + 8, little);
    const start = at + frameHeader;
    if (start + size > file.byteLength) break;
    const time = BigInt(view.getUint32(at, little)) * second + BigInt(view.getUint32(at + 4, little)) * unit;
    frames.push({ bytes: file.slice(start, start + size), time });
    at = start + size;
  }
  return frames;
}

/** A capture with times in nanoseconds. */
export function writePcap(frames: readonly CapturedFrame[]): Uint8Array<ArrayBuffer> {
  const parts = [pcapHeader(), ...frames.map(pcapFrame)];
  const file = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.byteLength;
  }
  return file;
}

/** What a capture begins with, for one that grows: each `pcapFrame` is appended, and it is whole after each. */
export function pcapHeader(): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(fileHeader));
  view.setUint32(0, nanoseconds, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, longestFrame, true);
  view.setUint32(20, ethernet, true);
  return new Uint8Array(view.buffer);
}

/** A frame as it is in a capture, behind `pcapHeader`. */
export function pcapFrame({ bytes, time }: CapturedFrame): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(frameHeader + bytes.byteLength);
  const view = new DataView(record.buffer);
  view.setUint32(0, Number(time / second), true);
  view.setUint32(4, Number(time % second), true);
  view.setUint32(8, bytes.byteLength, true);
  view.setUint32(12, bytes.byteLength, true);
  record.set(bytes, frameHeader);
  return record;
}
