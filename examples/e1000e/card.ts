import type { AddressSpace, Device, DmaPool } from 'vfio';
import { DescriptorRing, deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { checkedInteger } from './checked.js';
import { CardInterrupts, type SleepOptions } from './interrupts.js';
import { blockSize, layout, receiveDescriptor, receiveRing, startRing, transmitDescriptor, transmitRing } from './layout.js';
import type { Lent } from './lent-port.js';
import { stationOf } from './nvm.js';
import { OwnPort } from './own-port.js';
import type { Port } from './port.js';
import { Presence } from './presence.js';
import { ReceiveQueue } from './receive-queue.js';
import { reset, silence } from './reset.js';
import { scale } from './scaling.js';
import { Statistics, type Counts } from './statistics.js';
import { TransmitQueue } from './transmit-queue.js';

export interface CardOptions {
  /** Descriptors in each ring, a multiple of 8. Default: 512. */
  readonly ringLength?: number;
  /** Takes frames for other stations too. Default: false. */
  readonly promiscuous?: boolean;
  /** Pairs of queues, over which the card shares flows out that it receives. Default: 1. */
  readonly queues?: 1 | 2;
  /** Other threads drive the queues: `lend()` says what they need. Default: false. */
  readonly lent?: boolean;
}

export interface Link {
  readonly up: boolean;
  readonly megabits: number;
  readonly fullDuplex: boolean;
}

interface Rings {
  readonly queue: 0 | 1;
  readonly transmit: DescriptorRing<typeof transmitDescriptor>;
  readonly receive: DescriptorRing<typeof receiveDescriptor>;
}

/** What real cables take at most. */
const linkMilliseconds = 10_000;

/** How fast the link is, in megabits, by STATUS.SPEED. */
const speeds = [10, 100, 1000, 1000];

/**
 * An 82574L that was reset, with one or two queues for each direction, over a pool that other cards of its address space may share:
 * a block that one received can then be sent by another.
 *
 * Its queues tell the card of their tails by `fastMmio`, once for each burst. An access there that the bus refuses ends the
 * process, but only a write: one to a card that is pulled out is dropped, and nobody but its owner can turn its memory off.
 * All else is by `mmio`, which throws instead: resetting, sleeping and closing are what meets a card that is in no order.
 */
export class Card implements Port {
  readonly registers: DeviceRegisters<typeof layout>;
  readonly pool: DmaPool;
  /** Its pairs of queues; none where these are lent. */
  readonly queues: readonly OwnPort[];
  readonly interrupts: CardInterrupts;
  /** The station's address, '52:54:00:12:34:56'. */
  readonly station: string;
  readonly #device: Device;
  readonly #dma: AddressSpace;
  readonly #rings: readonly Rings[];
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
    { ringLength = 512, promiscuous = false, queues = 1, lent = false }: CardOptions,
  ) {
    const { fastMmio, mmio } = device.region(0);
    this.#device = device;
    this.#dma = dma;
    this.registers = deviceRegisters(layout, mmio);
    this.#presence = presence;
    this.#statistics = new Statistics(this.registers);
    this.pool = pool;
    this.station = station;
    const memory = { shared: lent };
    this.#rings = ([0, 1] as const).slice(0, queues).map((queue) => ({
      queue,
      transmit: DescriptorRing.allocate(dma, transmitDescriptor, ringLength, memory),
      receive: DescriptorRing.allocate(dma, receiveDescriptor, ringLength, memory),
    }));
    this.interrupts = new CardInterrupts(device, this.registers, presence);
    const own = lent ? [] : this.#rings;
    const parts = { station, pool, interrupts: this.interrupts, presence };
    this.queues = own.map(({ queue, transmit, receive }) => {
      const sending = new TransmitQueue(fastMmio, transmit, pool, queue);
      return new OwnPort(parts, queue, sending, new ReceiveQueue(fastMmio, receive, pool, queue));
    });
    this.#promiscuous = promiscuous;
  }

  /** Resets the card and waits for its link. `pool` is of `dma`, and has blocks of `blockSize` bytes. @throws RangeError, CardGoneError */
  static async open(device: Device, dma: AddressSpace, pool: DmaPool, options: CardOptions = {}): Promise<Card> {
    checkedInteger('queues', options.queues ?? 1, 1, 2);
    const registers = deviceRegisters(layout, device.region(0).mmio);
    const presence = new Presence(device.address, registers);
    device.onRequest(() => presence.want());
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

  get transmit(): TransmitQueue {
    return this.#first.transmit;
  }
  get receive(): ReceiveQueue {
    return this.#first.receive;
  }

  /** Sleeps until there are frames to be received. */
  frames(options?: SleepOptions): Promise<boolean> {
    return this.#first.frames(options);
  }

  /** Sleeps until all that was given to the card is sent. */
  sent(options?: SleepOptions): Promise<boolean> {
    return this.#first.sent(options);
  }

  assertPresent(): void {
    this.#presence.assert();
  }

  /**
   * What another thread opens each pair of queues by, as a `LentPort`, each with that many blocks for frames. Once; the memory is
   * given back with the address space. Those threads end before the card is closed.
   */
  lend(blocks: number): Lent[] {
    const { address } = this.#device;
    const registers = this.#device.region(0).share();
    return this.#rings.map(({ queue, transmit, receive }) => ({
      ...{ queue, address, registers, station: this.station, ringLength: transmit.count },
      transmit: transmit.buffer.share(),
      receive: receive.buffer.share(),
      frames: this.#dma.allocate(blocks * blockSize, { shared: true }).share(),
    }));
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
    const { mmio } = this.#device.region(0);
    const { TIPG, TCTL, RCTL, RFCTL } = this.registers;
    for (const { queue, transmit, receive } of this.#rings) {
      startRing(deviceRegisters(transmitRing(queue), mmio), transmit);
      startRing(deviceRegisters(receiveRing(queue), mmio), receive);
    }
    for (const { receive } of this.queues) receive.start();
    scale(mmio, this.#rings.length === 2 ? 2 : 1);
    TIPG.write(0x0060_2008);
    TCTL.write({ EN: 1, PSP: 1, CT: 0x0f, COLD: 0x3f });
    // Before receiving is on: the card looks at it then.
    RFCTL.write({ EXTEN: 1 });
    RCTL.write({ EN: 1, UPE: other, MPE: other, BAM: 1, SECRC: 1 });
  }

  get #first(): OwnPort {
    const [first] = this.queues;
    if (first === undefined) throw new Error(`The queues of ${this.#device.address} are lent: other threads drive them`);
    return first;
  }
}
