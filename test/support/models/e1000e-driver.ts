/** A small driver for Intel's 82574L, at the level of the library's own interface. */
import type { DmaBuffer, Interrupt, OpenDevice } from '../../../lib/index.js';
import { until, type RegisterName, type SingleMmio, type Trace } from './trace.js';

export const registers = {
  ...{ CTRL: 0x00, STATUS: 0x08, EECD: 0x10, EERD: 0x14, CTRL_EXT: 0x18, MDIC: 0x20, VET: 0x38 },
  ...{ ICR: 0xc0, ITR: 0xc4, ICS: 0xc8, IMS: 0xd0, IMC: 0xd8, EIAC: 0xdc, IAM: 0xe0, IVAR: 0xe4, EITR0: 0xe8 },
  ...{ RCTL: 0x100, TCTL: 0x400, RXCSUM: 0x5000, RFCTL: 0x5008, MTA0: 0x5200, RAL0: 0x5400, RAH0: 0x5404, VFTA0: 0x5600 },
  ...{ RDBAL: 0x2800, RDBAH: 0x2804, RDLEN: 0x2808, RDH: 0x2810, RDT: 0x2818 },
  ...{ TDBAL: 0x3800, TDBAH: 0x3804, TDLEN: 0x3808, TDH: 0x3810, TDT: 0x3818 },
} as const;

const names = new Map<number, string>(Object.entries(registers).map(([name, offset]) => [offset, name]));
const addresses: Readonly<Record<string, RegisterName['address']>> = {
  ...{ RDBAL: true, TDBAL: true, RDBAH: 'high half', TDBAH: 'high half' },
};

export const slots = 8;
const slotSize = 2048;

/** What is written in a transmit descriptor beside the address. */
export interface Descriptor {
  /** The third word but for the length. */
  readonly command?: number;
  /** The fourth. */
  readonly options?: number;
}

export const endOfPacket = 1 << 24;
export const reports = 1 << 27;
export const extended = (1 << 29) | (1 << 20);

export interface ReceivedFrame {
  readonly bytes: Uint8Array;
  /** The descriptor's words, as they were written back; the first is an address with legacy descriptors. */
  readonly words: readonly number[];
}

export class CardDriver {
  readonly name: string;
  readonly registers: SingleMmio;
  readonly opened: OpenDevice;
  readonly #trace: Trace;
  readonly #sending: DmaBuffer;
  readonly #receiving: DmaBuffer;
  readonly #out: DmaBuffer;
  readonly #in: readonly DmaBuffer[];
  #tail = 0;
  #next = 0;

  constructor(opened: OpenDevice, trace: Trace, name: string) {
    const allocate = (what: string, size: number): DmaBuffer => trace.name(`${name}'s ${what}`, opened.dma.allocate(size));
    this.name = name;
    this.opened = opened;
    this.#trace = trace;
    this.registers = trace.registers(opened.device.region(0).mmio, (offset) => this.#nameOf(offset), `${name}'s`);
    this.#sending = allocate('transmit ring', 4096);
    this.#receiving = allocate('receive ring', 4096);
    this.#out = allocate('frames', slots * slotSize);
    this.#in = Array.from({ length: slots }, (_, index) => allocate(`buffer ${index}`, 16_384));
  }

  #nameOf(offset: number): RegisterName {
    const name = names.get(offset) ?? `0x${offset.toString(16)}`;
    return { name: `${this.name}.${name}`, address: addresses[name] ?? false };
  }

  /** Turns sending and receiving on, with interrupts off and all causes cleared. `control`: more bits of RCTL. */
  start({ control = 0x0400_8000, filters = 0, buffers = slots - 1 } = {}): void {
    const { registers: mmio } = this;
    this.stop();
    mmio.write32(registers.RFCTL, filters);
    for (const [ring, [low, high, length, head, tail]] of [
      [this.#sending, [registers.TDBAL, registers.TDBAH, registers.TDLEN, registers.TDH, registers.TDT]],
      [this.#receiving, [registers.RDBAL, registers.RDBAH, registers.RDLEN, registers.RDH, registers.RDT]],
    ] as const) {
      ring.bytes.fill(0);
      mmio.write32(low, Number(ring.iova & 0xffff_ffffn));
      mmio.write32(high, Number(ring.iova >> 32n));
      mmio.write32(length, slots * 16);
      mmio.write32(head, 0);
      mmio.write32(tail, 0);
    }
    this.#tail = this.#next = 0;
    for (let slot = 0; slot < slots; slot += 1) this.#offer(slot);
    mmio.write32(registers.TCTL, 0x2);
    mmio.write32(registers.RCTL, control | 2);
    mmio.write32(registers.RDT, buffers);
  }

  stop(): void {
    const { registers: mmio } = this;
    mmio.write32(registers.IMC, 0xffff_ffff);
    mmio.write32(registers.RCTL, 0);
    mmio.write32(registers.TCTL, 0);
    mmio.read32(registers.ICR);
  }

  #offer(slot: number): void {
    const view = new DataView(this.#receiving.memory);
    view.setBigUint64(slot * 16, this.#in[slot]!.iova, true);
    view.setBigUint64(slot * 16 + 8, 0n, true);
  }

  /** Sends frames, each in as many parts as it is given in. */
  send(frames: readonly (readonly Uint8Array[])[], { command = 0, options = 0 }: Descriptor = {}): void {
    const view = new DataView(this.#sending.memory);
    for (const parts of frames) {
      parts.forEach((part, index) => {
        const at = this.#tail * 16;
        const last = index === parts.length - 1;
        this.#out.bytes.set(part, this.#tail * slotSize);
        view.setBigUint64(at, this.#out.iova + BigInt(this.#tail * slotSize), true);
        view.setUint32(at + 8, (part.byteLength | command | reports | (last ? endOfPacket : 0)) >>> 0, true);
        view.setUint32(at + 12, options, true);
        this.#tail = (this.#tail + 1) % slots;
      });
    }
    this.registers.write32(registers.TDT, this.#tail);
  }

  /** A descriptor that is no part of a frame. */
  put(words: readonly number[]): void {
    const view = new DataView(this.#sending.memory);
    words.forEach((word, index) => view.setUint32(this.#tail * 16 + 4 * index, word, true));
    this.#tail = (this.#tail + 1) % slots;
  }

  /** The words of all transmit descriptors' status. */
  get statuses(): number[] {
    const view = new DataView(this.#sending.memory);
    return Array.from({ length: slots }, (_, slot) => view.getUint32(slot * 16 + 12, true));
  }

  /** Takes what is there and gives the buffers back; `extended` is the form of the descriptors. */
  take({ extended = false } = {}): ReceivedFrame[] {
    const view = new DataView(this.#receiving.memory);
    const taken: ReceivedFrame[] = [];
    for (; ; this.#next = (this.#next + 1) % slots) {
      const at = this.#next * 16;
      const status = extended ? view.getUint32(at + 8, true) : view.getUint8(at + 12);
      if ((status & 1) === 0) break;
      const length = view.getUint16(extended ? at + 12 : at + 8, true);
      const words = [0, 4, 8, 12].map((offset) => view.getUint32(at + offset, true));
      taken.push({ bytes: this.#in[this.#next]!.bytes.slice(0, length), words: extended ? words : words.slice(2) });
      this.#offer(this.#next);
    }
    if (taken.length > 0) this.registers.write32(registers.RDT, (this.#next + slots - 1) % slots);
    return taken;
  }

  /** Waits until the device has written that many frames back, counted from the last that was taken. */
  async arrived(count: number, { extended = false } = {}): Promise<void> {
    const view = new DataView(this.#receiving.memory);
    const at = ((this.#next + count - 1) % slots) * 16;
    await until(() => ((extended ? view.getUint32(at + 8, true) : view.getUint8(at + 12)) & 1) !== 0);
  }

  /** An interrupt came; how many came together depends on the time between. */
  async interrupted(interrupt: Interrupt): Promise<void> {
    await interrupt.wait({ timeoutMilliseconds: 5000 });
    this.#trace.note(`${this.name} interrupted`);
  }
}
