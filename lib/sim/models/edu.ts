/**
 * QEMU's educational device (docs/specs/edu in QEMU's documentation): identification, liveness, a factorial engine with
 * an interrupt, and a DMA engine over 4 KiB of its own memory. What the specification leaves open is as QEMU answers.
 */
import { msi } from '../pci/capability.js';
import { PciFunction } from '../pci/function.js';

const registers = {
  identification: 0x00,
  liveness: 0x04,
  factorial: 0x08,
  status: 0x20,
  interruptStatus: 0x24,
  interruptRaise: 0x60,
  interruptAcknowledge: 0x64,
  dmaSource: 0x80,
  dmaDestination: 0x88,
  dmaCount: 0x90,
  dmaCommand: 0x98,
} as const;

const computing = 0x01n;
const interruptAfterFactorial = 0x80n;
const factorialInterrupt = 0x001n;
const dmaInterrupt = 0x100n;
const run = 1n;
const toMemory = 2n;
const interruptAfterDma = 4n;

/** Where the device's own memory lies in its address space. */
const bufferStart = 0x4_0000n;
const bufferSize = 4096n;
const ones = { 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn } as const;

/** How long the device takes, in milliseconds: enough to be seen busy. */
const factorialTime = 0.2;
const dmaTime = 1;

export interface EduOptions {
  /** The address bits the DMA engine drives; higher ones are cut off. QEMU's default is 28 bits. */
  readonly dmaMask?: bigint;
}

export class Edu extends PciFunction {
  readonly #dmaMask: bigint;
  readonly #buffer = new Uint8Array(Number(bufferSize));
  #liveness = 0n;
  #factorial = 0n;
  #status = 0n;
  #interrupts = 0n;
  #dma64 = { source: 0n, destination: 0n, count: 0n, command: 0n };

  constructor({ dmaMask = 0xfff_ffffn }: EduOptions = {}) {
    super({
      vendor: 0x1234,
      device: 0x11e8,
      revision: 0x10,
      classCode: 0x00_ff_00,
      subsystemVendor: 0x1af4,
      subsystemDevice: 0x1100,
      bars: { 0: 1 << 20 },
      intx: true,
      capabilities: [msi({ at: 0x40 })],
    });
    this.#dmaMask = dmaMask;
  }

  override readBar(_bar: number, offset: number, width: 1 | 2 | 4 | 8): bigint {
    // The device's bus knows no narrower access; such a read finds nobody and gives 0.
    if (width < 4) return 0n;
    const all = ones[width as 4 | 8];
    if (offset < registers.dmaSource && width !== 4) return all;
    switch (offset) {
      case registers.identification:
        return 0x0100_00edn;
      case registers.liveness:
        return this.#liveness;
      case registers.factorial:
        return this.#factorial;
      case registers.status:
        return this.#status;
      case registers.interruptStatus:
        return this.#interrupts;
      case registers.dmaSource:
        return this.#dma64.source & all;
      case registers.dmaDestination:
        return this.#dma64.destination & all;
      case registers.dmaCount:
        return this.#dma64.count & all;
      case registers.dmaCommand:
        return this.#dma64.command & all;
      default:
        return all;
    }
  }

  override writeBar(_bar: number, offset: number, width: 1 | 2 | 4 | 8, value: bigint): void {
    if (width < 4 || (offset < registers.dmaSource && width !== 4)) return;
    const dma = this.#dma64;
    const idle = (dma.command & run) === 0n;
    switch (offset) {
      case registers.liveness:
        this.#liveness = ~value & ones[4];
        break;
      case registers.factorial:
        this.#startFactorial(value);
        break;
      case registers.status:
        this.#status = (this.#status & computing) | (value & interruptAfterFactorial);
        break;
      case registers.interruptRaise:
        this.#raise(value);
        break;
      case registers.interruptAcknowledge:
        this.#acknowledge(value);
        break;
      case registers.dmaSource:
        if (idle) dma.source = value;
        break;
      case registers.dmaDestination:
        if (idle) dma.destination = value;
        break;
      case registers.dmaCount:
        if (idle) dma.count = value;
        break;
      case registers.dmaCommand:
        if (!idle || (value & run) === 0n) break;
        dma.command = value;
        this.clock.after(dmaTime, () => this.#transfer());
        break;
    }
  }

  #startFactorial(operand: bigint): void {
    if ((this.#status & computing) !== 0n) return;
    this.#factorial = operand;
    this.#status |= computing;
    this.clock.after(factorialTime, () => {
      this.#factorial = factorial32(this.#factorial);
      this.#status &= ~computing;
      if ((this.#status & interruptAfterFactorial) !== 0n) this.#raise(factorialInterrupt);
    });
  }

  #transfer(): void {
    const dma = this.#dma64;
    const out = (dma.command & toMemory) !== 0n;
    const inside = (out ? dma.source : dma.destination) - bufferStart;
    // A transfer that leaves the device's memory moves nothing; like QEMU, the last byte counts as outside.
    if (inside >= 0n && inside + dma.count < bufferSize) {
      const part = this.#buffer.subarray(Number(inside), Number(inside + dma.count));
      if (out) this.dma.write(dma.destination & this.#dmaMask, part);
      else this.dma.read(dma.source & this.#dmaMask, part);
    }
    dma.command &= ~run;
    if ((dma.command & interruptAfterDma) !== 0n) this.#raise(dmaInterrupt);
  }

  #raise(bits: bigint): void {
    this.#interrupts |= bits;
    if (this.#interrupts === 0n) return;
    if (this.msiEnabled) this.sendMsi(0);
    else this.setIntx(true);
  }

  #acknowledge(bits: bigint): void {
    this.#interrupts &= ~bits;
    if (this.#interrupts === 0n && !this.msiEnabled) this.setIntx(false);
  }
}

/** In 32 bits, as the device computes. */
function factorial32(operand: bigint): bigint {
  let result = 1n;
  // From 34! on the low 32 bits are all zero.
  for (let factor = operand; factor > 0n && result !== 0n; factor -= 1n) result = (result * factor) & ones[4];
  return result;
}
