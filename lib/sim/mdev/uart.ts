/** The loop-back UART of the kernel's sample driver mtty: what is sent comes back. */

/** `struct serial_port`, which is also how a port goes into a migration stream. */
export const portSize = 36;
const FIFO = 8;
const HEAD = 24;
const TAIL = 25;
const COUNT = 26;
const DLAB = 27;
const OVERRUN = 28;
const DIVISOR = 30;
const FCR = 32;
const CAPACITY = 33;
const TRIGGER_LEVEL = 34;

/** linux/serial_reg.h: registers by offset. */
const RX_TX = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RDI = 0x01;
const IER_THRI = 0x02;
const IER_RLSI = 0x04;
const IER_MSI = 0x08;
const IIR_MSI = 0x00;
const IIR_NO_INT = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
const FCR_ENABLE_FIFO = 0x01;
const FCR_CLEAR = 0x06;
const LCR_DLAB = 0x80;
const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT2 = 0x08;
const MCR_AFE = 0x20;
const LSR_DR = 0x01;
const LSR_OE = 0x02;
const LSR_EMPTY = 0x60;
const MSR_ALWAYS = 0xa2;
const MSR_CLEAR_TO_SEND = 0x11;

const fifoSize = 16;

export class Uart {
  readonly #bytes = new Uint8Array(portSize);
  readonly #interrupt: () => void;

  constructor(interrupt: () => void) {
    this.#interrupt = interrupt;
    this.#bytes[CAPACITY] = fifoSize;
  }

  save(): Uint8Array {
    return this.#bytes.slice();
  }

  load(bytes: Uint8Array): void {
    this.#bytes.set(bytes);
  }

  /** Undefined leaves the reader's byte as it is. */
  read(offset: number): number | undefined {
    switch (offset) {
      case RX_TX:
        return this.#get(DLAB) !== 0 ? this.#get(DIVISOR) : this.#receive();
      case IER:
        return this.#get(DLAB) !== 0 ? this.#get(DIVISOR + 1) : this.#get(IER) & 0x0f;
      case IIR_FCR:
        return this.#identification();
      case LCR:
      case MCR:
      case SCR:
        return this.#get(offset);
      case LSR:
        return (this.#empty ? LSR_EMPTY : LSR_DR) | (this.#get(OVERRUN) !== 0 ? LSR_OE : 0);
      case MSR: {
        const held = (this.#get(MCR) & MCR_AFE) !== 0 && this.#get(COUNT) >= this.#get(CAPACITY);
        return MSR_ALWAYS | (held ? 0 : MSR_CLEAR_TO_SEND);
      }
      default:
        return undefined;
    }
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case RX_TX:
        if (this.#get(DLAB) !== 0) this.#set(DIVISOR, this.#get(DIVISOR) | value);
        else this.#send(value);
        break;
      case IER:
        if (this.#get(DLAB) !== 0) {
          this.#set(DIVISOR + 1, this.#get(DIVISOR + 1) | value);
          break;
        }
        this.#set(IER, value);
        if ((value & IER_THRI) !== 0 && this.#empty) this.#interrupt();
        break;
      case IIR_FCR:
        this.#control(value);
        break;
      case LCR:
        this.#set(DLAB, (value & LCR_DLAB) !== 0 ? 1 : 0);
        if ((value & LCR_DLAB) !== 0) {
          this.#set(DIVISOR, 0);
          this.#set(DIVISOR + 1, 0);
        }
        this.#set(LCR, value);
        break;
      case MCR:
        this.#set(MCR, value);
        if ((this.#get(IER) & IER_MSI) === 0) break;
        if ((value & MCR_OUT2) !== 0) this.#interrupt();
        if ((value & (MCR_RTS | MCR_DTR)) !== 0) this.#interrupt();
        break;
      case SCR:
        this.#set(SCR, value);
        break;
    }
  }

  /** By its ends alone: a full buffer looks like an empty one, and its sixteen bytes are out of reach. */
  get #empty(): boolean {
    return this.#get(HEAD) === this.#get(TAIL);
  }

  #receive(): number | undefined {
    let value: number | undefined;
    if (!this.#empty) {
      value = this.#get(FIFO + (this.#get(TAIL) % fifoSize));
      this.#set(COUNT, this.#get(COUNT) - 1);
      this.#set(TAIL, (this.#get(TAIL) + 1) % fifoSize);
    }
    if (this.#empty && (this.#get(IER) & IER_THRI) !== 0) this.#interrupt();
    return value;
  }

  #send(value: number): void {
    if (this.#get(COUNT) >= this.#get(CAPACITY)) {
      this.#set(OVERRUN, 1);
      if ((this.#get(IER) & IER_RLSI) !== 0) this.#interrupt();
      return;
    }
    this.#set(FIFO + (this.#get(HEAD) % fifoSize), value);
    this.#set(COUNT, this.#get(COUNT) + 1);
    this.#set(HEAD, (this.#get(HEAD) + 1) % fifoSize);
    this.#set(OVERRUN, 0);
    if ((this.#get(IER) & IER_RDI) !== 0 && this.#get(COUNT) === this.#get(TRIGGER_LEVEL)) this.#interrupt();
  }

  /** The trigger level that is asked for is forgotten at once: there is no timer to deliver what stays below it. */
  #control(value: number): void {
    this.#set(FCR, value);
    if ((value & FCR_CLEAR) !== 0) for (const field of [HEAD, TAIL, COUNT]) this.#set(field, 0);
    this.#set(TRIGGER_LEVEL, 1);
    this.#set(CAPACITY, (value & FCR_ENABLE_FIFO) !== 0 ? fifoSize : 1);
  }

  #identification(): number {
    const enabled = this.#get(IER);
    let pending = 0;
    if ((enabled & IER_RLSI) !== 0 && this.#get(OVERRUN) !== 0) pending |= IIR_RLSI;
    if ((enabled & IER_RDI) !== 0 && this.#get(COUNT) >= this.#get(TRIGGER_LEVEL)) pending |= IIR_RDI;
    if ((enabled & IER_THRI) !== 0 && this.#empty) pending |= IIR_THRI;
    if ((enabled & IER_MSI) !== 0 && (this.#get(MCR) & (MCR_RTS | MCR_DTR)) !== 0) pending |= IIR_MSI;
    return (pending === 0 ? IIR_NO_INT : pending) | 0xc0;
  }

  #get(at: number): number {
    return this.#bytes[at] ?? 0;
  }

  #set(at: number, value: number): void {
    this.#bytes[at] = value;
  }
}
