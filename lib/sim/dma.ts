import type { Interval } from './interval-map.js';
import type { Pin } from './user-memory.js';

/** A stretch of IOVAs a device may reach, and the memory behind it. */
export interface DmaMapping extends Interval {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly pin: Pin;
}

/** What stands between devices and memory; without a domain, nothing passes. */
export interface Translation {
  readonly domain: { at(iova: bigint): DmaMapping | undefined } | undefined;
  /** The hardware has cut the devices off after an error. */
  readonly dmaStopped: boolean;
}

/** A device's access that reached no memory, as an IOMMU records it. */
export interface DmaFault {
  /** The device's address: '0000:00:03.0'. */
  readonly device: string;
  readonly iova: bigint;
  /** Bytes of the whole access. */
  readonly size: number;
  readonly direction: 'read' | 'write';
  readonly reason: 'not mapped' | 'not readable' | 'not writable' | 'bus mastering is off' | 'frozen after an error';
}

/**
 * A device's way to memory: translated and permitted by the IOMMU, or nothing happens and a fault is recorded. An
 * access is checked whole before its first byte moves.
 */
export class DmaPort {
  readonly #device: string;
  readonly #translation: Translation;
  readonly #mastering: () => boolean;
  readonly #faults: DmaFault[];

  constructor(device: string, translation: Translation, mastering: () => boolean, faults: DmaFault[]) {
    this.#device = device;
    this.#translation = translation;
    this.#mastering = mastering;
    this.#faults = faults;
  }

  /** Nothing leaves the device, its message-signalled interrupts included. */
  get stopped(): boolean {
    return this.#translation.dmaStopped;
  }

  /** The device reads memory. False when nothing was read. */
  read(iova: bigint, into: Uint8Array): boolean {
    return this.#access('read', iova, into);
  }

  /** The device writes memory. False when nothing was written. */
  write(iova: bigint, from: Uint8Array): boolean {
    return this.#access('write', iova, from);
  }

  #access(direction: 'read' | 'write', iova: bigint, bytes: Uint8Array): boolean {
    const problem = this.#mastering() ? this.#refusal(direction, iova, bytes.byteLength) : 'bus mastering is off';
    if (problem !== undefined) {
      this.#faults.push({ device: this.#device, iova, size: bytes.byteLength, direction, reason: problem });
      return false;
    }
    for (let done = 0; done < bytes.byteLength;) {
      const mapping = this.#translation.domain?.at(iova + BigInt(done));
      if (mapping === undefined) return false;
      const offset = Number(iova + BigInt(done) - mapping.start);
      const size = Math.min(bytes.byteLength - done, Number(mapping.last - mapping.start) + 1 - offset);
      const part = bytes.subarray(done, done + size);
      if (direction === 'read') mapping.pin.read(offset, part);
      else mapping.pin.write(offset, part);
      done += size;
    }
    return true;
  }

  #refusal(direction: 'read' | 'write', iova: bigint, size: number): DmaFault['reason'] | undefined {
    if (this.stopped) return 'frozen after an error';
    const end = iova + BigInt(size);
    for (let at = iova; at < end;) {
      const mapping = this.#translation.domain?.at(at);
      if (mapping === undefined) return 'not mapped';
      if (direction === 'read' && !mapping.readable) return 'not readable';
      if (direction === 'write' && !mapping.writable) return 'not writable';
      at = mapping.last + 1n;
    }
    return undefined;
  }
}
