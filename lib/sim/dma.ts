import type { Interval } from './interval-map.js';
import type { Pin } from './user-memory.js';

/** A stretch of IOVAs a device may reach, and the memory behind it. */
export interface DmaMapping extends Interval {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly pin: Pin;
}

/** A part of an access and the memory it goes to. */
export interface Piece {
  readonly mapping: DmaMapping;
  readonly offset: number;
  readonly size: number;
}

/** How a device's access with a PASID goes out. */
export interface PasidOptions {
  readonly pasid: number;
  /** As supervisor. Default: false. */
  readonly privileged?: boolean;
  /** The device has its addresses translated first, and keeps the translations itself. Default: false. */
  readonly ats?: boolean;
}

export interface PasidAccess extends Required<PasidOptions> {
  readonly device: string;
  readonly direction: 'read' | 'write';
  readonly iova: bigint;
  readonly size: number;
}

/** How much an IOMMU and a device hold in their caches. */
export interface CacheContents {
  /** PASIDs whose table is known. */
  readonly pasids: number;
  /** Pages in the IOMMU's cache of translations. */
  readonly translations: number;
  /** Pages in the device's own. */
  readonly deviceTranslations: number;
}

/** Translates accesses that carry a PASID. */
export interface PasidTranslation {
  /** The memory of the whole access; or why it has none, which is reported to whoever owns the tables. */
  translate(access: PasidAccess): readonly Piece[] | DmaFault['reason'];
  /** The same for a device that can ask for a page and wait. `done` may be called much later. */
  translateOnDemand(access: PasidAccess, done: (found: readonly Piece[] | DmaFault['reason']) => void): void;
  cached(device: string): CacheContents;
}

/** What stands between devices and memory; without a domain, nothing passes. */
export interface Translation {
  readonly domain: { at(iova: bigint): DmaMapping | undefined; readonly pasids?: PasidTranslation | undefined } | undefined;
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
  /** Set when the access carried one. */
  readonly pasid?: number;
  readonly reason:
    | 'not mapped'
    | 'not readable'
    | 'not writable'
    | 'bus mastering is off'
    | 'frozen after an error'
    | 'PASID not bound'
    | 'page table not reachable';
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

  /** The device reads memory, of its own address space or of a PASID's. False when nothing was read. */
  read(iova: bigint, into: Uint8Array, options?: PasidOptions): boolean {
    return options === undefined ? this.#access('read', iova, into) : this.#pasidAccess(this.#describe('read', iova, into, options), into);
  }

  /** The device writes memory. False when nothing was written. */
  write(iova: bigint, from: Uint8Array, options?: PasidOptions): boolean {
    return options === undefined
      ? this.#access('write', iova, from)
      : this.#pasidAccess(this.#describe('write', iova, from, options), from);
  }

  /**
   * For a device with page requests: where a page is missing it asks for it, and tries again when it is told that the
   * page is there. `done` hears whether the bytes moved, now or when the last response came.
   */
  transferOnDemand(
    direction: 'read' | 'write',
    iova: bigint,
    bytes: Uint8Array,
    options: PasidOptions,
    done: (moved: boolean) => void,
  ): void {
    const access = this.#describe(direction, iova, bytes, options);
    const pasids = this.#translation.domain?.pasids;
    if (!this.#mastering() || pasids === undefined) return done(this.#pasidAccess(access, bytes));
    pasids.translateOnDemand(access, (found) => done(this.#finish(access, bytes, this.#mastering() ? found : 'bus mastering is off')));
  }

  #describe(direction: 'read' | 'write', iova: bigint, bytes: Uint8Array, options: PasidOptions): PasidAccess {
    const { pasid, privileged = false, ats = false } = options;
    return { device: this.#device, direction, iova, size: bytes.byteLength, pasid, privileged, ats };
  }

  #pasidAccess(access: PasidAccess, bytes: Uint8Array): boolean {
    if (!this.#mastering()) return this.#finish(access, bytes, 'bus mastering is off');
    return this.#finish(access, bytes, this.#translation.domain?.pasids?.translate(access) ?? 'PASID not bound');
  }

  #finish({ device, iova, size, direction, pasid }: PasidAccess, bytes: Uint8Array, found: readonly Piece[] | DmaFault['reason']): boolean {
    if (typeof found === 'string') {
      this.#faults.push({ device, iova, size, direction, pasid, reason: found });
      return false;
    }
    let done = 0;
    for (const { mapping, offset, size: length } of found) {
      const part = bytes.subarray(done, done + length);
      if (direction === 'read') mapping.pin.read(offset, part);
      else mapping.pin.write(offset, part);
      done += length;
    }
    return true;
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
