import { checkedInteger, expected } from '../kernel/error.js';
import type { Clock } from './clock.js';
import type { DmaFault } from './dma.js';

/** Which of a device's accesses to memory are to fail. */
export interface DmaFailure {
  /** The first IOVA. Default: 0. */
  readonly start?: bigint;
  /** The last one, inclusive. Default: the highest there is. */
  readonly last?: bigint;
  /** How many accesses that touch the range. Default: all. */
  readonly count?: number;
}

type InterruptFault = { readonly kind: 'lost' | 'doubled' } | { readonly kind: 'delayed'; readonly milliseconds: number };

const top = 0xffff_ffff_ffff_ffffn;

/** What is wrong with a device, on purpose. */
export class DeviceFaults {
  /** It answers nothing and sends nothing, as one that hangs or is not there any more. */
  silent = false;
  #interrupt: InterruptFault | undefined;
  #interruptsLeft = 0;
  #dma: { readonly start: bigint; readonly last: bigint; left: number } | undefined;

  breakInterrupts(fault: InterruptFault, count: number): void {
    this.#interruptsLeft = checkedCount(count);
    this.#interrupt = fault;
  }

  breakDma({ start = 0n, last = top, count = Infinity }: DmaFailure): void {
    if (last < start) throw expected(`an IOVA from 0x${start.toString(16)} on`, 'last', last);
    this.#dma = { start, last, left: checkedCount(count) };
  }

  mend(): void {
    this.silent = false;
    this.#interruptsLeft = 0;
    this.#dma = undefined;
  }

  /** An interrupt on its way out. */
  deliver(clock: Clock, send: () => void): void {
    if (this.silent) return;
    if (this.#interrupt === undefined || this.#interruptsLeft === 0) return send();
    this.#interruptsLeft -= 1;
    switch (this.#interrupt.kind) {
      case 'lost':
        return;
      case 'doubled':
        send();
        return send();
      case 'delayed':
        clock.after(this.#interrupt.milliseconds, () => {
          if (!this.silent) send();
        });
    }
  }

  /** Why an access does not reach memory; undefined where nothing is wrong with it. */
  refuses(iova: bigint, size: number): DmaFault['reason'] | undefined {
    if (this.silent) return 'the device is silent';
    const fault = this.#dma;
    if (fault === undefined || fault.left === 0 || iova > fault.last || iova + BigInt(size) <= fault.start) return undefined;
    fault.left -= 1;
    return 'failed on purpose';
  }
}

function checkedCount(count: number): number {
  return count === Infinity ? count : checkedInteger('count', count, Number.MAX_SAFE_INTEGER);
}
