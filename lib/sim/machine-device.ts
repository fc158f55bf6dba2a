import type { DeviceFaults, DmaFailure } from './device-faults.js';
import type { PciFunction } from './pci/function.js';
import type { PciSlot } from './slot.js';

/**
 * A device of a machine, from the outside: what can go wrong with it, at will. Faults of one kind replace each other; those of
 * different kinds add up.
 */
export class MachineDevice {
  readonly #slot: PciSlot;
  readonly #unplug: (slot: PciSlot) => Promise<void>;

  /** `machine.device(…)` is the way to it. */
  constructor(slot: PciSlot, unplug: (slot: PciSlot) => Promise<void>) {
    this.#slot = slot;
    this.#unplug = unplug;
  }

  get address(): string {
    return this.#slot.address;
  }

  get model(): PciFunction {
    return this.#slot.pciFunction;
  }

  get #faults(): DeviceFaults {
    return this.model.faults;
  }

  /** The next interrupts do not come, or with no number none do. A line that is lost does not rise until it is asserted again. */
  loseInterrupts(count = Infinity): void {
    this.#faults.breakInterrupts({ kind: 'lost' }, count);
  }

  /** The next interrupts come twice each. Eventfds count, so a driver sees that as two at once. */
  doubleInterrupts(count = Infinity): void {
    this.#faults.breakInterrupts({ kind: 'doubled' }, count);
  }

  /** The next interrupts come so much later, by the machine's clock. */
  delayInterrupts(milliseconds: number, count = Infinity): void {
    this.#faults.breakInterrupts({ kind: 'delayed', milliseconds }, count);
  }

  /**
   * Its next accesses to memory fail, or with no number all do: no byte moves, the model is told so, and it is recorded in
   * `machine.faults`.
   */
  failDma(which: DmaFailure = {}): void {
    this.#faults.breakDma(which);
  }

  /**
   * It hangs: all its registers, and those of configuration space that the kernel does not keep itself, read as ones; writes are
   * dropped; no interrupt comes, no DMA is done. A reset of the function fails with ENOTTY, as where Linux waited for it in vain.
   */
  silence(): void {
    this.#faults.silent = true;
  }

  /** Nothing is wrong with it any more. What was lost is lost. */
  mend(): void {
    this.#faults.mend();
  }

  /** It is reset behind its driver's back, as when somebody else resets its bus: registers and interrupts are as at power-on. */
  reset(): void {
    this.#slot.resetWithBus();
  }

  /** The bus tells of an error that cannot be corrected: the ERR interrupt. */
  reportError(): void {
    this.#slot.vfio?.reportError();
  }

  /**
   * It is pulled out without warning. From then on it is silent, for ever; who has it open is asked to let go by the REQ
   * interrupt. Resolves when nobody has it open any more: then it is gone from the machine, its group and the files.
   */
  async unplug(): Promise<void> {
    await this.#unplug(this.#slot);
  }
}
