/** A network card as QEMU's `e1000e` is one, an Intel 82574L: its registers, and what happens where. */
import { PCI_COMMAND } from '../../../abi/pci.js';
import { expected } from '../../../kernel/error.js';
import type { Width } from '../../mapping.js';
import type { ConfigWidth } from '../../pci/config-space.js';
import { PciFunction } from '../../pci/function.js';
import { linkChanged, overrun, phyAccessed } from './causes.js';
import { e1000eIdentity } from './config.js';
import { initialRegisters, nonVolatileMemory } from './initial.js';
import { Interrupts } from './interrupts.js';
import { Phy } from './phy.js';
import { Receiver } from './receive.js';
import * as r from './registers.js';
import { Ring } from './ring.js';
import { Timer } from './timer.js';
import { TransmitQueue } from './transmit.js';
import type { WireEnd } from '../../network/wire.js';

const resetBit = 1 << 26;
const phyReset = 0x8000_0000;
const flowControl = (1 << 27) | (1 << 28);
const linkUp = 1 << 1;
const phyWasReset = 1 << 10;
const receives = 1 << 1;
const queueEnabled = 1 << 10;
const flushes = 0x8000_0000;
const stationValid = 0x8000_0000;
const negotiationTime = 500e6;
/** Frames that wait while the card takes none; what comes then is lost. */
const mostWaiting = 10_000;

export interface E1000eOptions {
  /** The address of its own on the network. Default: '52:54:00:12:34:56'. */
  readonly station?: string;
}

/**
 * An Intel 82574L as QEMU's `e1000e`: two queues each way, scaling, legacy and extended descriptors, filters, statistics,
 * checksums, VLAN tags, INTx, MSI and five MSI-X vectors with throttling, PHY and EEPROM.
 *
 * It has a cable with another card, a capture or whatever is a `WireEnd`: `wire(card, other)`. Frames that come while the
 * card has no buffers for them wait, up to 10000; they are lost when its driver gives it buffers before it turns receiving on.
 */
export class E1000e extends PciFunction implements WireEnd {
  readonly #registers = new r.Registers();
  readonly #station: Uint8Array;
  readonly #memory: Uint16Array;
  readonly #negotiation = new Timer(
    () => this.clock,
    () => this.#negotiated(),
  );
  readonly #phy = new Phy(() => this.#renegotiate());
  readonly #interrupts: Interrupts;
  readonly #transmit: readonly TransmitQueue[];
  readonly #receive: Receiver;
  readonly #waiting: Uint8Array[] = [];
  #receiving = false;
  /** The next frame found too few buffers: it waits for more. */
  #stalled = false;
  #other: WireEnd | undefined;
  #plugged = true;
  /** What the window of ports shows. */
  #portAddress = 0;

  constructor({ station = '52:54:00:12:34:56' }: E1000eOptions = {}) {
    const bytes = parseStation(station);
    super(e1000eIdentity(bytes));
    this.#station = bytes;
    this.#memory = nonVolatileMemory(bytes);
    const card = this;
    this.#interrupts = new Interrupts(this.#registers, {
      get msixEnabled() {
        return card.msixEnabled;
      },
      get msiEnabled() {
        return card.msiEnabled;
      },
      get clock() {
        return card.clock;
      },
      send: (vector) => this.sendMsi(vector),
      setLine: (asserted) => this.setIntx(asserted),
    });
    this.#transmit = ([0, 1] as const).map((index) => new TransmitQueue(this.#ring(r.transmitRing, index), index));
    this.#receive = new Receiver([this.#ring(r.receiveRing, 0), this.#ring(r.receiveRing, 1)], this.#registers);
    this.resetRegisters();
  }

  sendTo(other: WireEnd | undefined): void {
    this.#other = other;
  }

  /** Whether the cable is in. Pulling it takes the link down, and putting it in again brings it up half a second later. */
  get plugged(): boolean {
    return this.#plugged;
  }

  set plugged(plugged: boolean) {
    if (plugged === this.#plugged) return;
    this.#plugged = plugged;
    const before = this.#registers.get(r.STATUS);
    if (!plugged) this.#linkIsDown();
    else if (this.#phy.negotiates) this.#renegotiate();
    else this.#linkIsUp(false);
    if (this.#registers.get(r.STATUS) !== before) this.#interrupts.cause(linkChanged);
  }

  receive(frame: Uint8Array): void {
    if (this.#waiting.length < mostWaiting) this.#waiting.push(frame);
    if (!this.#stalled && this.#listening && this.mastering && this.#receive.hasRoom) this.#takeWaiting();
  }

  override writeConfig(at: number, width: ConfigWidth, value: number): void {
    super.writeConfig(at, width, value);
    if (at <= PCI_COMMAND && at + width > PCI_COMMAND && this.mastering) this.#resume();
  }

  protected override readBar(bar: number, offset: number, _width: Width): bigint {
    if (bar === 0) return BigInt(this.#read(r.registerAt(offset)));
    if (bar !== 2) return 0n;
    if (offset === 0) return BigInt(this.#portAddress);
    return offset === 4 && this.#portAddress < 0x1_ffff ? BigInt(this.#read(r.registerAt(this.#portAddress))) : 0n;
  }

  protected override writeBar(bar: number, offset: number, _width: Width, value: bigint): void {
    const word = Number(value);
    if (bar === 0) this.#write(r.registerAt(offset), word);
    else if (bar === 2 && offset === 0) this.#portAddress = word;
    else if (bar === 2 && offset === 4 && this.#portAddress < 0x1_ffff) this.#write(r.registerAt(this.#portAddress), word);
  }

  /** As QEMU's, it keeps its registers over D3hot although it says that it loses them. */
  protected override poweredUp(): void {}

  protected override resetRegisters(): void {
    this.#negotiation.stop();
    this.#interrupts.reset();
    this.#phy.reset();
    this.#registers.reset(initialRegisters);
    this.#setStation();
    if (!this.#plugged) this.#linkIsDown();
    for (const queue of this.#transmit) queue.reset();
    this.#receive.reset();
  }

  #ring(start: number, index: number): Ring {
    return new Ring(this.#registers, start + index * r.nextRing);
  }

  #read(register: number): number {
    switch (register) {
      case r.ICR:
        return this.#interrupts.readCauses();
      case r.STATUS:
        return this.#status;
      case r.SWSM: {
        const value = this.#registers.read(register);
        this.#registers.set(register, value | 1);
        return value;
      }
      default:
        return isInterval(register) ? this.#interrupts.readInterval(register) : this.#registers.read(register);
    }
  }

  /** Speed and duplex are those of a gigabit, unless the driver forces others. */
  get #status(): number {
    const [control, extended] = [this.#registers.get(r.CTRL), this.#registers.get(r.CTRL_EXT)];
    const forcedSpeed = (control & (1 << 11)) !== 0 || (extended & (1 << 15)) !== 0;
    const speed = forcedSpeed ? Math.min((control >>> 8) & 3, 2) : 2;
    const fullDuplex = (control & (1 << 12)) === 0 || (control & 1) !== 0;
    const masters = (control & (1 << 2)) === 0;
    return this.#registers.get(r.STATUS) | (masters ? 1 << 19 : 0) | (fullDuplex ? 1 : 0) | (speed << 6);
  }

  #write(register: number, value: number): void {
    const registers = this.#registers;
    switch (register) {
      case r.CTRL:
      case r.CTRL_DUP:
        return this.#control(value);
      case r.STATUS:
        if ((value & phyWasReset) === 0) registers.set(r.STATUS, registers.get(r.STATUS) & ~phyWasReset);
        return;
      case r.CTRL_EXT:
        return registers.set(register, value & ~((1 << 12) | (1 << 13)));
      case r.EECD:
        return registers.set(register, (registers.get(register) & 0x7b00) | (value & ~0x7b00));
      case r.EERD:
        return this.#readMemory(value);
      case r.EEWR:
        return this.#writeMemory(value);
      case r.MDIC:
        return this.#accessPhy(value);
      case r.GCR:
        return registers.set(register, (registers.get(register) & 0x0680_0000) | (value & ~0x0680_0000));
      case r.PSRCTL:
        if ((registers.get(r.RCTL) & 0xc00) === 0 || ((value & 0x7f) !== 0 && (value & 0x3f00) !== 0)) registers.set(register, value);
        return;
      case r.RXDCTL:
        registers.set(r.RXDCTL1, value);
        return registers.set(register, value);
      case r.ICR:
        return this.#interrupts.clearCauses(value);
      case r.ICS:
        return this.#interrupts.cause(value);
      case r.IMS:
        return this.#interrupts.enable(value);
      case r.IMC:
        return this.#interrupts.disable(value);
      case r.RCTL:
        registers.set(register, value);
        if ((value & receives) === 0) return;
        this.#receive.configure();
        return this.#resume();
      case r.TCTL:
        registers.set(register, value);
        return this.#transmit.forEach((_, index) => this.#send(index));
      default:
        if (isInterval(register)) return this.#interrupts.writeInterval(register, value);
        registers.write(register, value);
        this.#written(register, value);
    }
  }

  /** What writing a register sets off that is otherwise one like others. */
  #written(register: number, value: number): void {
    switch (register) {
      case r.transmitRing + r.ringRegisters.tail:
        return this.#send(0);
      case r.transmitRing + r.nextRing + r.ringRegisters.tail:
        return this.#send(1);
      case r.receiveRing + r.ringRegisters.tail:
      case r.receiveRing + r.nextRing + r.ringRegisters.tail:
        return this.#resume();
      case r.RDTR:
        return (value & flushes) === 0 ? undefined : this.#interrupts.flush('receive');
      case r.TIDV:
        return (value & flushes) === 0 ? undefined : this.#interrupts.flush('transmit');
    }
  }

  #control(value: number): void {
    this.#registers.set(r.CTRL, value & ~resetBit);
    if ((value & resetBit) !== 0) this.#setStation();
    if ((value & phyReset) !== 0) this.#registers.set(r.STATUS, this.#registers.get(r.STATUS) | phyWasReset);
  }

  #setStation(): void {
    const view = new DataView(this.#station.buffer);
    this.#registers.set(r.RA, view.getUint32(0, true));
    this.#registers.set(r.RA + 4, view.getUint16(4, true) | stationValid);
  }

  #readMemory(value: number): void {
    const at = (value >>> 2) & 0x3fff;
    const word = (value & 1) === 0 ? undefined : this.#memory[at];
    this.#registers.set(r.EERD, word === undefined ? at << 2 : (word << 16) | (at << 2) | 2);
  }

  #writeMemory(value: number): void {
    const at = (value >>> 2) & 0x3fff;
    const accepted = at < this.#memory.length && (value & 1) !== 0;
    if (accepted) this.#memory[at] = value >>> 16;
    this.#registers.set(r.EERD, (value & 0xffff_0000) | (at << 2) | (accepted ? 2 : 0));
  }

  #accessPhy(value: number): void {
    const [phy, register] = [(value >>> 21) & 0x1f, (value >>> 16) & 0x1f];
    const [failed, ready, interrupts] = [1 << 30, 1 << 28, 1 << 29];
    let answer = value;
    if (phy !== 1) answer = this.#registers.get(r.MDIC) | failed;
    else if ((value & (1 << 27)) !== 0) {
      const found = this.#phy.read(register);
      answer = found === undefined ? value | failed : (value & ~0xffff) | found;
    } else if ((value & (1 << 26)) !== 0 && !this.#phy.write(register, value & 0xffff)) answer = value | failed;
    this.#registers.set(r.MDIC, answer | ready);
    if ((answer & interrupts) !== 0) this.#interrupts.cause(phyAccessed);
  }

  #renegotiate(): void {
    this.#linkIsDown();
    this.#negotiation.start(negotiationTime);
  }

  #negotiated(): void {
    if (!this.#plugged) return;
    this.#linkIsUp(true);
    if (this.#phy.negotiates) this.#registers.set(r.CTRL, this.#registers.get(r.CTRL) | flowControl);
    this.#interrupts.cause(linkChanged);
  }

  #linkIsDown(): void {
    this.#registers.set(r.STATUS, this.#registers.get(r.STATUS) & ~linkUp);
    this.#phy.linkIsDown();
  }

  #linkIsUp(afterNegotiation: boolean): void {
    this.#registers.set(r.STATUS, this.#registers.get(r.STATUS) | linkUp);
    this.#phy.linkIsUp(afterNegotiation);
    this.#resume();
  }

  #send(index: number): void {
    if ((this.#registers.get(index === 0 ? r.TARC0 : r.TARC1) & queueEnabled) === 0) return;
    const { dma, msixEnabled } = this;
    const loops = this.#phy.loops || (this.#registers.get(r.RCTL) & 0xc0) === 0x40;
    const to: WireEnd | undefined = loops ? this : this.#plugged ? this.#other : undefined;
    const sent = this.#transmit[index]?.run({ registers: this.#registers, dma, msixEnabled, send: (frame) => to?.receive(frame) });
    if (sent === undefined) return;
    if (sent.delayed) this.#interrupts.causeByTransmitting(sent.causes);
    else this.#interrupts.cause(sent.causes);
  }

  get #listening(): boolean {
    return (this.#registers.get(r.STATUS) & linkUp) !== 0 && (this.#registers.get(r.RCTL) & receives) !== 0;
  }

  /** A driver gave buffers, or turned something on: what waits is taken, or lost where receiving is off. */
  #resume(): void {
    this.#stalled = false;
    this.#takeWaiting();
  }

  /** Frames are taken one after the other, also when taking one has another come. */
  #takeWaiting(): void {
    if (this.#receiving) return;
    this.#receiving = true;
    let taken = 0;
    for (; taken < this.#waiting.length && !this.#stalled; taken += 1) {
      if (!this.#listening) continue;
      const causes = this.#receive.take(this.#waiting[taken]!, this.dma, this.msixEnabled);
      if (causes === undefined) {
        this.#stalled = true;
        this.#interrupts.causeByReceiving(overrun);
        break;
      }
      if (causes !== 0) this.#interrupts.causeByReceiving(causes);
    }
    this.#waiting.splice(0, taken);
    this.#receiving = false;
  }
}

function isInterval(register: number): boolean {
  return register === r.ITR || (register >= r.EITR && register < r.EITR + 4 * r.vectors);
}

function parseStation(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) || (Number.parseInt(text.slice(0, 2), 16) & 1) !== 0)
    throw expected("the address of a station, like '52:54:00:12:34:56',", 'station', text);
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
