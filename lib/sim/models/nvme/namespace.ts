import { Disk } from './disk.js';

/** The one namespace of the drive: its disk, in logical blocks. */
export class Namespace {
  readonly disk: Disk;
  /** Since the drive was made: bytes and commands, for its log. */
  readonly read = { bytes: 0, commands: 0 };
  readonly written = { bytes: 0, commands: 0 };
  /** Bytes of a logical block: 512 or 4096. */
  blockSize: number;

  constructor(size: number, blockSize: number) {
    this.disk = new Disk(size);
    this.blockSize = blockSize;
  }

  get blocks(): number {
    return Math.floor(this.disk.size / this.blockSize);
  }

  holds(first: bigint, count: number): boolean {
    return first + BigInt(count) <= BigInt(this.blocks);
  }
}

export const namespaceId = 1;
/** Ids there may be; those without a namespace are inactive. */
export const lastNamespaceId = 256;
