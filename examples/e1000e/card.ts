import type { AddressSpace, Device, DmaPool } from 'vfio';
import { deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { layout } from './layout.js';
import { stationOf } from './nvm.js';
import { ReceiveQueue } from './receive-queue.js';
import { TransmitQueue } from './transmit-queue.js';

export interface CardOptions {
  /** Descriptors in each ring, a multiple of 8. Default: 512. */
  readonly ringLength?: number;
  /** Takes frames for other stations too. Default: false. */
  readonly promiscuous?: boolean;
}

/** Bytes of the blocks that a card is given for frames. */
export const blockSize = 2048;
/** What the datasheet and real cables allow. */
const resetMilliseconds = 100;
const linkMilliseconds = 10_000;

/** How fast the link is, in megabits, by STATUS.SPEED. */
const speeds = [10, 100, 1000, 1000];

/**
 * An 82574L that was reset, with a queue for each direction, over a pool that other cards of its address space may share: a block
 * that one received can then be sent by another.
 */
export class Card {
  readonly registers: DeviceRegisters<typeof layout>;
  readonly pool: DmaPool;
  readonly transmit: TransmitQueue;
  readonly receive: ReceiveQueue;
  /** The station's address, '52:54:00:12:34:56'. */
  readonly station: string;
  readonly #promiscuous: boolean;

  private constructor(
    device: Device,
    dma: AddressSpace,
    pool: DmaPool,
    station: string,
    { ringLength = 512, promiscuous = false }: CardOptions,
  ) {
    const { fastMmio } = device.region(0);
    this.registers = deviceRegisters(layout, fastMmio);
    this.pool = pool;
    this.transmit = new TransmitQueue(fastMmio, dma, pool, 0, ringLength);
    this.receive = new ReceiveQueue(fastMmio, dma, pool, 0, ringLength);
    this.#promiscuous = promiscuous;
    this.station = station;
  }

  /** Resets the card and waits for its link. `pool` is of `dma`, and has blocks of `blockSize` bytes. */
  static async open(device: Device, dma: AddressSpace, pool: DmaPool, options: CardOptions = {}): Promise<Card> {
    const registers = deviceRegisters(layout, device.region(0).mmio);
    await reset(registers);
    const station = await stationOf(registers);
    device.enableBusMaster();
    const card = new Card(device, dma, pool, station, options);
    await card.registers.STATUS.until({ LU: 1 }, { timeoutMilliseconds: linkMilliseconds });
    card.#start();
    return card;
  }

  get link(): { readonly up: boolean; readonly megabits: number; readonly fullDuplex: boolean } {
    const { STATUS } = this.registers;
    return { up: STATUS.get('LU') === 1, megabits: speeds[STATUS.get('SPEED')] ?? 0, fullDuplex: STATUS.get('FD') === 1 };
  }

  /** What the card counted since this was asked last: its counters are cleared by reading. */
  statistics(): Readonly<Record<'received' | 'sent' | 'receivedBytes' | 'sentBytes' | 'missed' | 'withoutBuffer', number>> {
    const { GPRC, GPTC, GORCL, GORCH, GOTCL, GOTCH, MPC, RNBC } = this.registers;
    const wide = (low: number, high: number): number => low + high * 2 ** 32;
    return {
      received: GPRC.read(),
      sent: GPTC.read(),
      // The low half first: reading the high half clears both.
      receivedBytes: wide(GORCL.read(), GORCH.read()),
      sentBytes: wide(GOTCL.read(), GOTCH.read()),
      missed: MPC.read(),
      withoutBuffer: RNBC.read(),
    };
  }

  #start(): void {
    const other = this.#promiscuous ? 1 : 0;
    const { TIPG, TCTL, RCTL } = this.registers;
    this.transmit.start();
    this.receive.start();
    TIPG.write(0x0060_2008);
    TCTL.write({ EN: 1, PSP: 1, CT: 0x0f, COLD: 0x3f });
    RCTL.write({ EN: 1, UPE: other, MPE: other, BAM: 1, SECRC: 1 });
  }
}

/** As the datasheet has it: silent, then reset, then silent again; and the link up. */
async function reset(registers: DeviceRegisters<typeof layout>): Promise<void> {
  const { CTRL, ICR, IMC, RCTL, TCTL } = registers;
  IMC.write(0xffff_ffff);
  RCTL.write(0);
  TCTL.write(0);
  CTRL.change({ RST: 1 });
  await CTRL.until({ RST: 0 }, { timeoutMilliseconds: resetMilliseconds });
  IMC.write(0xffff_ffff);
  ICR.read();
  CTRL.change({ SLU: 1, ASDE: 1, FD: 1 });
}
