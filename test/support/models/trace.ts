/** What a driver and a device say to each other, in lines: the same of every kernel and device that is alike. */
import type { DmaBuffer, Mmio } from '../../../lib/index.js';

/** A register's name at an offset; one that holds an address, or the low half of one, is printed as what lies there. */
export interface RegisterName {
  readonly name: string;
  readonly address?: boolean | 'high half';
}

type Width = 8 | 16 | 32 | 64;

/** Accesses one at a time, which is all that drivers make here. */
export type SingleMmio = Pick<Mmio, `${'read' | 'write'}${Width}`>;

export class Trace {
  readonly lines: string[] = [];
  readonly #buffers = new Map<string, DmaBuffer>();

  /** The name that a buffer's addresses are printed as. */
  name(name: string, buffer: DmaBuffer): DmaBuffer {
    this.#buffers.set(name, buffer);
    return buffer;
  }

  note(line: string): void {
    this.lines.push(line);
  }

  /** All lines so far; the next begin anew. */
  take(): string[] {
    return this.lines.splice(0);
  }

  /** The registers, of which every access becomes a line. `owner` is what the names of their device's buffers begin with. */
  registers(mmio: Mmio, nameOf: (offset: number) => RegisterName, owner = ''): SingleMmio {
    const say = (verb: string, width: Width, offset: number, value: number | bigint): void => {
      const { name, address = false } = nameOf(offset);
      const said = address === 'high half' ? '<high half>' : address ? this.#place(BigInt(value), width, owner) : undefined;
      this.note(`${verb}${width} ${name} ${said ?? `0x${value.toString(16)}`}`);
    };
    const read = <T extends number | bigint>(width: Width, load: (offset: number) => T) => {
      return (offset: number): T => {
        const value = load(offset);
        say('read', width, offset, value);
        return value;
      };
    };
    const write = <T extends number | bigint>(width: Width, store: (offset: number, value: T) => void) => {
      return (offset: number, value: T): void => {
        say('write', width, offset, value);
        store(offset, value);
      };
    };
    return {
      read8: read(8, (offset) => mmio.read8(offset)),
      read16: read(16, (offset) => mmio.read16(offset)),
      read32: read(32, (offset) => mmio.read32(offset)),
      read64: read(64, (offset) => mmio.read64(offset)),
      write8: write(8, (offset, value: number) => mmio.write8(offset, value)),
      write16: write(16, (offset, value: number) => mmio.write16(offset, value)),
      write32: write(32, (offset, value: number) => mmio.write32(offset, value)),
      write64: write(64, (offset, value: bigint) => mmio.write64(offset, value)),
    };
  }

  #place(value: bigint, width: Width, owner: string): string | undefined {
    for (const [name, { iova, size }] of this.#buffers) {
      if (!name.startsWith(owner)) continue;
      if (width === 64 && value >= iova && value < iova + BigInt(size)) return `<${name}${offsetFrom(iova, value)}>`;
      if (width === 32 && value === (iova & 0xffff_ffffn)) return `<${name}, low half>`;
    }
    return undefined;
  }
}

function offsetFrom(start: bigint, value: bigint): string {
  return value === start ? '' : ` + 0x${(value - start).toString(16)}`;
}

/** Bytes as lines of a dump, those of zeros left out. */
export function dump(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.byteLength; at += 16) {
    const part = bytes.subarray(at, at + 16);
    if (part.some((byte) => byte !== 0)) lines.push(`  ${at.toString(16).padStart(4, '0')}: ${Buffer.from(part).toString('hex')}`);
  }
  return lines;
}

/** Polls until `done`, for at most five seconds. */
export async function until(done: () => boolean): Promise<void> {
  for (let waited = 0; !done(); waited += 1) {
    if (waited > 5000) throw new Error('The device did not come that far in five seconds');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
