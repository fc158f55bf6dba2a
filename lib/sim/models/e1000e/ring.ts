import { ringRegisters, type Registers } from './registers.js';

export const descriptorSize = 16;

/** A ring of descriptors in the host's memory, as its registers say: the card's from head to before tail. */
export class Ring {
  readonly #registers: Registers;
  readonly #start: number;

  constructor(registers: Registers, start: number) {
    this.#registers = registers;
    this.#start = start;
  }

  /** Bytes. */
  get size(): number {
    return this.#get('length');
  }

  get empty(): boolean {
    const tail = this.#get('tail');
    return this.#get('head') === tail || tail >= Math.floor(this.size / descriptorSize);
  }

  /** How many the card has. */
  get count(): number {
    const [head, tail] = [this.#get('head'), this.#get('tail')];
    return head <= tail ? tail - head : Math.floor(this.size / descriptorSize) + tail - head;
  }

  /** Where the next lies. */
  get next(): bigint {
    return (BigInt(this.#get('addressHigh')) << 32n) + BigInt(this.#get('addressLow')) + BigInt(descriptorSize * this.#get('head'));
  }

  advance(): void {
    const head = this.#get('head') + 1;
    this.#registers.set(this.#start + ringRegisters.head, head * descriptorSize >= this.size ? 0 : head);
  }

  #get(register: keyof typeof ringRegisters): number {
    return this.#registers.get(this.#start + ringRegisters[register]);
  }
}
