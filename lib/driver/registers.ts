import type { Mmio } from '../kernel/kernel.js';
import type { Register, Registers, ValueOf } from '../registers/declaration.js';
import { describeFields, maskOf, valueOf, wordOf, type FieldValues } from './fields.js';
import { pollUntil } from './poll.js';

export interface UntilOptions {
  readonly timeoutMilliseconds: number;
  readonly signal?: AbortSignal;
}

/** As long as one crossing into the addon looks at a register. */
const spinMilliseconds = 0.05;

/** A register of a device. Each call is one access of its width, but for `change`, which is two, and `until`. */
export class DeviceRegister<R extends Register = Register> {
  readonly name: string;
  /** Bytes. */
  readonly offset: number;
  readonly #declared: R;
  readonly #mmio: Mmio;

  constructor(name: string, declared: R, mmio: Mmio) {
    this.name = name;
    this.offset = declared.offset;
    this.#declared = declared;
    this.#mmio = mmio;
  }

  read(): ValueOf<R> {
    return this.#read() as ValueOf<R>;
  }

  /** All of it; or fields by name, and 0 in the others. */
  write(value: ValueOf<R> | FieldValues<R['fields']>): void {
    const word = typeof value === 'object' ? this.#value(wordOf<R['fields']>(this.#declared.fields, value)) : value;
    switch (this.#declared.width) {
      case 1:
        return this.#mmio.write8(this.offset, word as number);
      case 2:
        return this.#mmio.write16(this.offset, word as number);
      case 4:
        return this.#mmio.write32(this.offset, word as number);
      case 8:
        return this.#mmio.write64(this.offset, word as bigint);
    }
  }

  /** Reads it, and writes it with these fields changed. Returns what was written. */
  change(values: FieldValues<R['fields']>): ValueOf<R> {
    const { fields } = this.#declared;
    const word = (BigInt(this.#read()) & ~maskOf<R['fields']>(fields, values)) | wordOf<R['fields']>(fields, values);
    const changed = this.#value(word);
    this.write(changed);
    return changed;
  }

  /** Reads it, and tells one of its fields. */
  get(name: keyof R['fields'] & string): number {
    return valueOf(this.#declared.fields, name, BigInt(this.#read()));
  }

  /**
   * Reads it until these fields are so: without a pause for 50 microseconds, then each millisecond. Returns the value that was.
   * @throws CodedError ERR_VFIO_TIMEOUT, which says what it was at last.
   */
  async until(values: FieldValues<R['fields']>, { timeoutMilliseconds, signal }: UntilOptions): Promise<ValueOf<R>> {
    const { fields } = this.#declared;
    const [mask, wanted] = [maskOf<R['fields']>(fields, values), wordOf<R['fields']>(fields, values)];
    return pollUntil(() => this.#poll(mask, wanted) as ValueOf<R> | undefined, {
      what: Object.entries(values)
        .map(([name, value]) => `${name}=${String(value)}`)
        .join(' '),
      found: () => this.describe(this.read()),
      timeoutMilliseconds,
      ...(signal && { signal }),
    });
  }

  /** 'CTRL=0x00000041 FD SLU', of a value that was read: it does not read. */
  describe(value: ValueOf<R>): string {
    const { width, fields } = this.#declared;
    const digits = BigInt(value)
      .toString(16)
      .padStart(2 * width, '0');
    return `${this.name}=0x${digits} ${describeFields(fields, BigInt(value))}`.trimEnd();
  }

  #read(): number | bigint {
    switch (this.#declared.width) {
      case 1:
        return this.#mmio.read8(this.offset);
      case 2:
        return this.#mmio.read16(this.offset);
      case 4:
        return this.#mmio.read32(this.offset);
      case 8:
        return this.#mmio.read64(this.offset);
    }
  }

  #poll(mask: bigint, wanted: bigint): number | bigint | undefined {
    const numbers = { mask: Number(mask), wanted: Number(wanted), timeoutMilliseconds: spinMilliseconds };
    switch (this.#declared.width) {
      case 1:
        return this.#mmio.poll8(this.offset, numbers);
      case 2:
        return this.#mmio.poll16(this.offset, numbers);
      case 4:
        return this.#mmio.poll32(this.offset, numbers);
      case 8:
        return this.#mmio.poll64(this.offset, { mask, wanted, timeoutMilliseconds: spinMilliseconds });
    }
  }

  #value(word: bigint): ValueOf<R> {
    return (this.#declared.width === 8 ? word : Number(word)) as ValueOf<R>;
  }
}

/** The registers of a layout, as one device has them. */
export type DeviceRegisters<L extends Registers> = { readonly [Name in keyof L]: DeviceRegister<L[Name]> };

/** Lays declared registers over those of a device: `deviceRegisters(layout, device.region(0).mmio)`. */
export function deviceRegisters<L extends Registers>(layout: L, mmio: Mmio): DeviceRegisters<L> {
  const laid = Object.entries(layout).map(([name, declared]) => [name, new DeviceRegister(name, declared, mmio)]);
  return Object.fromEntries(laid) as DeviceRegisters<L>;
}
