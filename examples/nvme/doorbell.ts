import type { AddressSpace, DmaBuffer, Mmio, Resource } from 'vfio';
import { struct, u32, volatile } from 'vfio/abi';
import { memoryBarrier } from 'vfio/driver';
import { pageSize } from './layout.js';

/** A place of a queue, in memory. */
const word = struct('nvme_doorbell', { value: volatile(u32) });
type Word = ReturnType<typeof word.view>;

/**
 * Doorbells in memory (NVM Express 1.4, section 7.13): the driver writes these, and the real ones only where the controller has
 * not looked further. To an emulated controller a real one costs more than most of what a command does.
 */
export class ShadowDoorbells {
  /** A page of doorbells, and one of how far the controller has looked: the command that tells of them takes two pages. */
  readonly buffer: DmaBuffer;

  /** The memory is freed when `owner` is closed: after the controller stops. */
  constructor(dma: AddressSpace, owner: Resource) {
    const buffer = dma.allocate(2 * pageSize);
    owner.afterwards(() => buffer.close());
    this.buffer = buffer;
  }
}

/** Where the controller is told how far a queue is filled, or emptied. */
export class Doorbell {
  readonly #mmio: Mmio;
  readonly #offset: number;
  readonly #shadow: Word | undefined;
  readonly #looked: Word | undefined;
  #rung = 0;

  /** `offset`: bytes from the first doorbell, which is at `base` of the registers. */
  constructor(mmio: Mmio, base: number, offset: number, shadow?: ShadowDoorbells) {
    this.#mmio = mmio;
    this.#offset = base + offset;
    this.#shadow = shadow && word.view(shadow.buffer.memory, offset, word.size);
    this.#looked = shadow && word.view(shadow.buffer.memory, pageSize + offset, word.size);
  }

  /** `place`: the tail or head of its queue. */
  ring(place: number): void {
    const before = this.#rung;
    if (place === before) return;
    this.#rung = place;
    if (this.#shadow === undefined || this.#looked === undefined) return this.#mmio.write32(this.#offset, place);
    // What is in the queue comes before its doorbell, and that before the look at how far the controller has looked.
    memoryBarrier();
    this.#shadow.value = place;
    memoryBarrier();
    if (passed(this.#looked.value, before, place)) this.#mmio.write32(this.#offset, place);
  }
}

/** Whether going from `before` to `place` passes `looked`, all round and round in 16 bits: then the controller looks no more. */
function passed(looked: number, before: number, place: number): boolean {
  return ((place - looked - 1) & 0xffff) < ((place - before) & 0xffff);
}
