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

export interface Access {
  readonly device: string;
  readonly direction: 'read' | 'write';
  readonly iova: bigint;
  readonly size: number;
  /** Undefined: in the device's own address space. */
  readonly pasid: number | undefined;
  readonly privileged: boolean;
  readonly ats: boolean;
}

export interface PasidAccess extends Access {
  readonly pasid: number;
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

/** The memory of a whole access; or why it has none. */
export type Translated = readonly Piece[] | DmaFault['reason'];

/** Translates accesses that carry a PASID. What has no memory is reported to whoever owns the tables. */
export interface PasidTranslation {
  translate(access: PasidAccess): Translated;
  /** The same for a device that can ask for a page and wait. `done` may be called much later. */
  translateOnDemand(access: PasidAccess, done: (found: Translated) => void): void;
  cached?(device: string): CacheContents;
}

/** One address space: the mapping that an IOVA lies in. */
interface Mapped {
  at(iova: bigint): DmaMapping | undefined;
}

interface Domain extends Mapped {
  readonly pasids?: PasidTranslation | undefined;
  /** For accesses without a PASID, where devices can ask for their pages. */
  translateOnDemand?(access: Access, done: (found: Translated) => void): void;
}

/** What stands between devices and memory; without a domain, nothing passes. */
export interface Translation {
  readonly domain: Domain | undefined;
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
    | 'failed on purpose'
    | 'the device is silent'
    | 'PASID not bound'
    | 'page table not reachable';
}

/** What is wrong with the device. */
interface Broken {
  refuses(iova: bigint, size: number): DmaFault['reason'] | undefined;
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
  readonly #broken: Broken | undefined;

  constructor(device: string, translation: Translation, mastering: () => boolean, faults: DmaFault[], broken?: Broken) {
    this.#device = device;
    this.#translation = translation;
    this.#mastering = mastering;
    this.#faults = faults;
    this.#broken = broken;
  }

  /** Nothing leaves the device, its message-signalled interrupts included. */
  get stopped(): boolean {
    return this.#translation.dmaStopped;
  }

  /** The device reads memory, of its own address space or of a PASID's. False when nothing was read. */
  read(iova: bigint, into: Uint8Array, options?: PasidOptions): boolean {
    return this.#access('read', iova, into, options);
  }

  /** The device writes memory. False when nothing was written. */
  write(iova: bigint, from: Uint8Array, options?: PasidOptions): boolean {
    return this.#access('write', iova, from, options);
  }

  /**
   * For a device with page requests: where a page is missing it asks for it, and tries again when it is told that the
   * page is there. `done` hears whether the bytes moved, now or when the last response came.
   */
  transferOnDemand(
    direction: 'read' | 'write',
    iova: bigint,
    bytes: Uint8Array,
    options: PasidOptions | undefined,
    done: (moved: boolean) => void,
  ): void {
    const access = this.#describe(direction, iova, bytes, options);
    const refusal = this.#refusal(access);
    const finish = (found: Translated): void => done(this.#move(access, bytes, refusal ?? this.#stopped ?? found));
    const { domain } = this.#translation;
    if (refusal === undefined && hasPasid(access) && domain?.pasids !== undefined) domain.pasids.translateOnDemand(access, finish);
    else if (refusal === undefined && !hasPasid(access) && domain?.translateOnDemand !== undefined)
      domain.translateOnDemand(access, finish);
    else finish(refusal ?? this.#translate(access));
  }

  #describe(direction: 'read' | 'write', iova: bigint, bytes: Uint8Array, options?: PasidOptions): Access {
    const { pasid, privileged = false, ats = false } = options ?? {};
    return { device: this.#device, direction, iova, size: bytes.byteLength, pasid, privileged, ats };
  }

  #access(direction: 'read' | 'write', iova: bigint, bytes: Uint8Array, options?: PasidOptions): boolean {
    const access = this.#describe(direction, iova, bytes, options);
    return this.#move(access, bytes, this.#refusal(access) ?? this.#translate(access));
  }

  #refusal({ iova, size }: Access): DmaFault['reason'] | undefined {
    return this.#stopped ?? this.#broken?.refuses(iova, size);
  }

  /** Why nothing leaves the device, wherever to. */
  get #stopped(): DmaFault['reason'] | undefined {
    if (!this.#mastering()) return 'bus mastering is off';
    return this.stopped ? 'frozen after an error' : undefined;
  }

  #translate(access: Access): Translated {
    const { domain } = this.#translation;
    if (hasPasid(access)) return domain?.pasids?.translate(access) ?? 'PASID not bound';
    return domain === undefined ? 'not mapped' : findPieces(domain, access);
  }

  #move({ device, iova, size, direction, pasid }: Access, bytes: Uint8Array, found: Translated): boolean {
    if (typeof found === 'string') {
      this.#faults.push({ device, iova, size, direction, ...(pasid !== undefined && { pasid }), reason: found });
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
}

function hasPasid(access: Access): access is PasidAccess {
  return access.pasid !== undefined;
}

/** The memory of the whole access, as far as an address space permits it. */
export function findPieces(space: Mapped, { direction, iova, size }: Access): Translated {
  const pieces: Piece[] = [];
  const end = iova + BigInt(size);
  for (let at = iova; at < end; ) {
    const mapping = space.at(at);
    if (mapping === undefined) return 'not mapped';
    if (direction === 'read' && !mapping.readable) return 'not readable';
    if (direction === 'write' && !mapping.writable) return 'not writable';
    const stop = mapping.last + 1n < end ? mapping.last + 1n : end;
    pieces.push({ mapping, offset: Number(at - mapping.start), size: Number(stop - at) });
    at = stop;
  }
  return pieces;
}
