import type { AddressSpace, Device, DmaPool } from 'vfio';
import { deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { CardInterrupts, type SleepOptions } from './interrupts.js';
import { layout } from './layout.js';
import { stationOf } from './nvm.js';
import { Presence } from './presence.js';
import { ReceiveQueue } from './receive-queue.js';
import { reset, silence } from './reset.js';
import { Statistics, type Counts } from './statistics.js';
import { TransmitQueue } from './transmit-queue.js';

export interface CardOptions {
  /** Descriptors in each ring, a multiple of 8. Default: 512. */
  readonly ringLength?: number;
  /** Takes frames for other stations too. Default: false. */
  readonly promiscuous?: boolean;
}

export interface Link {
  readonly up: boolean;
  readonly megabits: number;
  readonly fullDuplex: boolean;
}

/** Bytes of the blocks that a card is given for frames. */
export const blockSize = 2048;
/** What real cables take at most. */
const linkMilliseconds = 10_000;

/** How fast the link is, in megabits, by STATUS.SPEED. */
const speeds = [10, 100, 1000, 1000];

/**
 * An 82574L that was reset, with a queue for each direction, over a pool that other cards of its address space may share: a block
 * that one received can then be sent by another.
 *
 * Its queues tell the card of their tails by `fastMmio`, once for each burst. An access there that the bus refuses ends the
 * process, but only a write: one to a card that is pulled out is dropped, and nobody but its owner can turn its memory off.
 * All else is by `mmio`, which throws instead: resetting, sleeping and closing are what meets a card that is in no order.
 */
export class Card {
  readonly registers: DeviceRegisters<typeof layout>;
  readonly pool: DmaPool;
  readonly transmit: TransmitQueue;
  readonly receive: ReceiveQueue;
  readonly interrupts: CardInterrupts;
  /** The station's address, '52:54:00:12:34:56'. */
  readonly station: string;
  readonly #device: Device;
  readonly #presence: Presence;
  readonly #statistics: Statistics;
  readonly #promiscuous: boolean;
  #closed = false;

  private constructor(
    device: Device,
    dma: AddressSpace,
    pool: DmaPool,
    station: string,
    presence: Presence,
    { ringLength = 512, promiscuous = false }: CardOptions,
  ) {
    const { fastMmio, mmio } = device.region(0);
    this.#device = device;
    this.registers = deviceRegisters(layout, mmio);
    this.#presence = presence;
    this.#statistics = new Statistics(this.registers);
    this.pool = pool;
    this.transmit = new TransmitQueue(fastMmio, dma, pool, 0, ringLength);
    this.receive = new ReceiveQueue(fastMmio, dma, pool, 0, ringLength);
    this.interrupts = new CardInterrupts(device, this.registers, this.#presence);
    this.#promiscuous = promiscuous;
    this.station = station;
  }

  /** Resets the card and waits for its link. `pool` is of `dma`, and has blocks of `blockSize` bytes. @throws CardGoneError */
  static async open(device: Device, dma: AddressSpace, pool: DmaPool, options: CardOptions = {}): Promise<Card> {
    const registers = deviceRegisters(layout, device.region(0).mmio);
    const presence = new Presence(device, registers);
    presence.assert();
    await reset(registers);
    const station = await stationOf(registers);
    device.enableBusMaster();
    const card = new Card(device, dma, pool, station, presence, options);
    try {
      await registers.STATUS.until({ LU: 1 }, { timeoutMilliseconds: linkMilliseconds });
      card.assertPresent();
      card.#start();
      return card;
    } catch (error) {
      card.close();
      throw error;
    }
  }

  get link(): Link {
    const { STATUS } = this.registers;
    return { up: STATUS.get('LU') === 1, megabits: speeds[STATUS.get('SPEED')] ?? 0, fullDuplex: STATUS.get('FD') === 1 };
  }

  /** Calls the listener when the link comes or goes. */
  onLink(listener: (link: Link) => void): void {
    this.interrupts.onLink(() => listener(this.link));
  }

  /**
   * Sleeps until there are frames to be received, and returns whether there are: else time or the signal ended it. For a loop
   * that polls while frames come.
   * @throws CardGoneError, ClosedError
   */
  frames(options: SleepOptions = {}): Promise<boolean> {
    return this.interrupts.received(0, () => this.receive.ready, options);
  }

  /** Sleeps until all that was given to the card is sent, in the same way. */
  sent(options: SleepOptions = {}): Promise<boolean> {
    return this.interrupts.sent(0, () => this.transmit.pending === 0, options);
  }

  /** Reads a register: now and then, in a loop that may poll a card that is gone. @throws CardGoneError */
  assertPresent(): void {
    this.#presence.assert();
  }

  /** What the card has counted since it was opened. */
  statistics(): Counts {
    return this.#statistics.read();
  }

  /** Ends receiving and sending, and returns when the card does nothing in memory any more. Before its device is closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.interrupts.close();
    if (!this.#presence.isGone) silence(this.#device);
  }

  #start(): void {
    const other = this.#promiscuous ? 1 : 0;
    const { TIPG, TCTL, RCTL, RFCTL } = this.registers;
    this.transmit.start();
    this.receive.start();
    TIPG.write(0x0060_2008);
    TCTL.write({ EN: 1, PSP: 1, CT: 0x0f, COLD: 0x3f });
    // Before receiving is on: the card looks at it then.
    RFCTL.write({ EXTEN: 1 });
    RCTL.write({ EN: 1, UPE: other, MPE: other, BAM: 1, SECRC: 1 });
  }
}
