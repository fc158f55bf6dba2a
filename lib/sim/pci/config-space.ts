/** A function's configuration space: its header, and the lists of its capabilities. */
import {
  PCI_CAPABILITY_LIST,
  PCI_CAP_LIST_NEXT,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
} from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';
import type { Capability } from './capability.js';
import type { ExtendedCapability } from './extended-capability.js';

/** Bytes of an access to configuration space. */
export type ConfigWidth = 1 | 2 | 4;

export class ConfigSpace {
  /** The registers, little-endian. */
  readonly contents: DataView<ArrayBuffer>;
  /** Which of their bits can be written. */
  readonly writable: DataView<ArrayBuffer>;
  /** Which of them a write of 1 clears. */
  readonly clearable: DataView<ArrayBuffer>;
  readonly #places = new Map<Capability, number>();

  constructor(capabilities: readonly Capability[], extended: readonly ExtendedCapability[], isExpress: boolean) {
    const size = isExpress ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
    this.contents = new DataView(new ArrayBuffer(size));
    this.writable = new DataView(new ArrayBuffer(size));
    this.clearable = new DataView(new ArrayBuffer(size));
    // What no capability is over are registers without a meaning, which keep what is written.
    new Uint8Array(this.writable.buffer).fill(0xff, PCI_STD_HEADER_SIZEOF);
    // But where an extended list would begin there is the header of an empty one.
    if (isExpress) this.writable.setUint32(PCI_CFG_SPACE_SIZE, 0, true);
    if (extended.length > 0 && !isExpress) throw expected('a PCI Express function', 'extendedCapabilities', 'some of another');
    this.#link(capabilities);
    this.#linkExtended(extended);
  }

  get size(): number {
    return this.contents.byteLength;
  }

  /** Where a capability of the function lies. */
  placeOf(capability: Capability): number | undefined {
    return this.#places.get(capability);
  }

  read(at: number, width: ConfigWidth): number {
    if (width === 1) return this.contents.getUint8(at);
    return width === 2 ? this.contents.getUint16(at, true) : this.contents.getUint32(at, true);
  }

  write(at: number, width: ConfigWidth, value: number): void {
    for (let index = 0; index < width; index += 1) {
      const byte = (value >>> (8 * index)) & 0xff;
      const writable = this.writable.getUint8(at + index);
      const old = this.contents.getUint8(at + index);
      const cleared = byte & this.clearable.getUint8(at + index);
      this.contents.setUint8(at + index, ((old & ~writable) | (byte & writable)) & ~cleared);
    }
  }

  #link(capabilities: readonly Capability[]): void {
    let from = PCI_CAPABILITY_LIST;
    let free = PCI_STD_HEADER_SIZEOF;
    for (const capability of capabilities) {
      const at = capability.at ?? free;
      this.#put(capability, at, PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE);
      this.contents.setUint8(at, capability.id);
      this.contents.setUint8(from, at);
      from = at + PCI_CAP_LIST_NEXT;
      free = Math.ceil((at + capability.contents.byteLength) / 4) * 4;
    }
    if (capabilities.length > 0) this.contents.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
  }

  #linkExtended(capabilities: readonly ExtendedCapability[]): void {
    let from: number | undefined;
    let free = PCI_CFG_SPACE_SIZE;
    for (const capability of capabilities) {
      const at = capability.at ?? free;
      if (from === undefined && at !== PCI_CFG_SPACE_SIZE) throw expected('256 for the first extended capability', 'at', at);
      this.#put(capability, at, PCI_CFG_SPACE_SIZE, PCI_CFG_SPACE_EXP_SIZE);
      this.contents.setUint32(at, capability.id | (capability.version << 16), true);
      if (from !== undefined) this.contents.setUint32(from, (this.contents.getUint32(from, true) | (at << 20)) >>> 0, true);
      from = at;
      free = Math.ceil((at + capability.contents.byteLength) / 4) * 4;
    }
  }

  #put(capability: Capability, at: number, start: number, end: number): void {
    const { byteLength: size } = capability.contents;
    if (at < start || at + size > end) throw expected(`room for ${size} bytes from ${start} to ${end}`, 'at', at);
    for (const [other, place] of this.#places)
      if (at < place + other.contents.byteLength && place < at + size)
        throw expected(`no place of capability ${other.id}`, `at of capability ${capability.id}`, at);
    this.#places.set(capability, at);
    for (const field of ['contents', 'writable', 'clearable'] as const)
      new Uint8Array(this[field].buffer, at, size).set(new Uint8Array(capability[field].buffer));
  }
}
