/** When the card interrupts: causes, masks, delays, and the least time between two. */
import type { Clock } from '../../clock.js';
import {
  acknowledgement,
  asserted,
  delayableReceive,
  delayableTransmit,
  maskable,
  other,
  otherCauses,
  receiveQueue,
  transmitQueue,
} from './causes.js';
import { shortestInterval } from './initial.js';
import {
  CTRL_EXT,
  EIAC,
  EITR,
  IAC,
  IAM,
  ICR,
  ICS,
  IMS,
  ITR,
  IVAR,
  RADV,
  RAID,
  RDTR,
  RFCTL,
  TADV,
  TIDV,
  vectors,
  type Registers,
} from './registers.js';
import { Timer } from './timer.js';

/** How interrupts leave the card. */
export interface InterruptOutlet {
  readonly msixEnabled: boolean;
  readonly msiEnabled: boolean;
  readonly clock: Clock;
  send(vector: number): void;
  setLine(asserted: boolean): void;
}

const clearsMaskOfVector = 1 << 24;
const autoMasks = 1 << 27;
const clearsTimers = 1 << 29;
const ignoresAcknowledgements = 1 << 12;
const [delayUnit, throttleUnit] = [1024, 256];
const validVector = 8;

/** The causes that have vectors, and where IVAR says which. */
const vectorCauses: readonly (readonly [cause: number, shift: number])[] = [
  [receiveQueue[0], 0],
  [receiveQueue[1], 4],
  [transmitQueue[0], 8],
  [transmitQueue[1], 12],
  [other, 16],
];

/** What can be told of later: frames, at the latest then, and acknowledgements among them. */
type Delay = 'receive' | 'receiveAtMost' | 'acknowledge' | 'transmit' | 'transmitAtMost';

/** A least time between interrupts, and whether one waits for it to pass. */
interface Throttle {
  readonly register: number;
  readonly timer: Timer;
  waiting: boolean;
}

export class Interrupts {
  readonly #registers: Registers;
  readonly #outlet: InterruptOutlet;
  readonly #delays: Readonly<Record<Delay, Timer>>;
  readonly #line: Throttle;
  readonly #vectors: readonly Throttle[];
  /** What was written to the throttling registers, which is what they read. */
  readonly #intervals = new Map<number, number>();
  #delayed = 0;
  /** Causes that a message was sent for, until they are cleared. */
  #told = 0;

  constructor(registers: Registers, outlet: InterruptOutlet) {
    this.#registers = registers;
    this.#outlet = outlet;
    const timer = (action: () => void): Timer => new Timer(() => outlet.clock, action);
    const delay = (): Timer => timer(() => this.cause(0));
    this.#delays = { receive: delay(), receiveAtMost: delay(), acknowledge: delay(), transmit: delay(), transmitAtMost: delay() };
    const line: Throttle = { register: ITR, waiting: false, timer: timer(() => this.#lineTimePassed()) };
    this.#line = line;
    this.#vectors = Array.from({ length: vectors }, (_, vector) => {
      const throttle: Throttle = {
        register: EITR + 4 * vector,
        waiting: false,
        timer: timer(() => {
          if (!throttle.waiting) return;
          throttle.waiting = false;
          outlet.send(vector);
        }),
      };
      return throttle;
    });
  }

  reset(): void {
    this.#delayed = 0;
    for (const timer of [...Object.values(this.#delays), this.#line.timer, ...this.#vectors.map((each) => each.timer)]) timer.stop();
  }

  /** Something happened: bits of ICR. Those that were delayed come with it. */
  cause(bits: number): void {
    const all = bits | this.#takeDelayed();
    this.#registers.set(ICR, this.#registers.get(ICR) | all);
    this.update();
  }

  /** The same of received frames, which the driver may want to hear of later. */
  causeByReceiving(bits: number): void {
    if (this.#outlet.msixEnabled) return this.cause(bits);
    const registers = this.#registers;
    const delayable = delayableReceive | ((registers.get(RFCTL) & ignoresAcknowledgements) === 0 ? acknowledgement : 0);
    this.#delayed |= bits & delayable;
    const now = bits & ~delayable;
    const acknowledged = (this.#delayed & acknowledgement) !== 0;
    if (registers.get(RDTR) === 0 || now !== 0 || (registers.get(RAID) === 0 && acknowledged)) return this.cause(now);
    this.#delay('receive', RDTR);
    if (!this.#delays.receiveAtMost.running && registers.get(RADV) !== 0) this.#delay('receiveAtMost', RADV);
    if (!this.#delays.acknowledge.running && acknowledged) this.#delay('acknowledge', RAID);
  }

  /** The same of sent frames whose descriptors ask for it. */
  causeByTransmitting(bits: number): void {
    if (this.#outlet.msixEnabled) return this.cause(bits);
    this.#delayed |= bits & delayableTransmit;
    const now = bits & ~delayableTransmit;
    if (now !== 0) return this.cause(now);
    this.#delay('transmit', TIDV);
    if (!this.#delays.transmitAtMost.running && this.#registers.get(TADV) !== 0) this.#delay('transmitAtMost', TADV);
  }

  /** A driver asks for what is delayed. */
  flush(which: 'receive' | 'transmit'): void {
    if (this.#delays[which].running) this.cause(0);
  }

  /** ICR is read, which clears it in most cases. */
  readCauses(): number {
    const registers = this.#registers;
    const found = registers.get(ICR);
    if (registers.get(IMS) === 0 || !this.#outlet.msixEnabled) registers.set(ICR, 0);
    if ((registers.get(ICR) & asserted) !== 0 && (registers.get(CTRL_EXT) & autoMasks) !== 0) {
      registers.set(ICR, 0);
      this.#disable(registers.get(IAM));
    }
    this.update();
    return found;
  }

  clearCauses(bits: number): void {
    const registers = this.#registers;
    if ((registers.get(ICR) & asserted) !== 0 && (registers.get(CTRL_EXT) & autoMasks) !== 0) this.#disable(registers.get(IAM));
    const left = registers.get(ICR) & ~bits;
    registers.set(ICR, (bits & other) !== 0 ? left & ~otherCauses : left);
    this.update();
  }

  enable(bits: number): void {
    const registers = this.#registers;
    const valid = bits & maskable;
    registers.set(IMS, registers.get(IMS) | valid);
    if (valid === maskable && (registers.get(CTRL_EXT) & clearsTimers) !== 0) this.#endTimers();
    this.update();
  }

  disable(bits: number): void {
    this.#disable(bits);
    this.update();
  }

  readInterval(register: number): number {
    return this.#intervals.get(register) ?? 0;
  }

  writeInterval(register: number, value: number): void {
    this.#intervals.set(register, value & 0xffff);
    this.#registers.set(register, Math.max(value & 0xffff, shortestInterval));
  }

  /** Lets out what is to be let out. */
  update(): void {
    const registers = this.#registers;
    const { msixEnabled, msiEnabled } = this.#outlet;
    let causes = registers.get(ICR) & ~asserted;
    if (msixEnabled && (causes & otherCauses) !== 0) causes |= other;
    registers.set(ICR, causes === 0 ? 0 : causes | asserted);
    registers.set(ICS, registers.get(ICR));
    const pending = (registers.get(IMS) & registers.get(ICR)) !== 0;
    if (!pending) this.#told = 0;
    if (msixEnabled || msiEnabled) {
      if (pending) this.#tell(msixEnabled);
    } else if (!pending) this.#outlet.setLine(false);
    else if (!this.#postpone(this.#line)) {
      registers.count(IAC);
      this.#outlet.setLine(true);
    }
  }

  #tell(byVectors: boolean): void {
    const registers = this.#registers;
    const enabled = registers.get(ICR) & registers.get(IMS) & ~asserted;
    this.#told &= enabled;
    const fresh = enabled ^ this.#told;
    if (fresh === 0) return;
    this.#told |= fresh;
    if (byVectors) {
      for (const [cause, shift] of vectorCauses) if ((fresh & cause) !== 0) this.#tellVector(cause, registers.get(IVAR) >>> shift);
    } else if (!this.#postpone(this.#line)) this.#outlet.send(0);
  }

  #tellVector(cause: number, allocation: number): void {
    const registers = this.#registers;
    const throttle = (allocation & validVector) === 0 ? undefined : this.#vectors[allocation & 7];
    if (throttle !== undefined && !this.#postpone(throttle)) this.#outlet.send(allocation & 7);
    if ((registers.get(CTRL_EXT) & clearsMaskOfVector) !== 0) registers.set(IAM, registers.get(IAM) & ~cause);
    const cleared = registers.get(EIAC) & cause;
    registers.set(ICR, registers.get(ICR) & ~cleared);
    this.#told &= ~cleared;
    if ((registers.get(CTRL_EXT) & autoMasks) === 0) this.#disable(cleared);
  }

  #disable(bits: number): void {
    this.#registers.set(IMS, this.#registers.get(IMS) & ~bits);
  }

  /** Whether an interrupt is too early. If not, the time to the next begins. */
  #postpone(throttle: Throttle): boolean {
    if (throttle.timer.running) {
      throttle.waiting = true;
      return true;
    }
    const interval = this.#registers.get(throttle.register);
    if (interval !== 0) throttle.timer.start(interval * throttleUnit);
    return false;
  }

  #lineTimePassed(): void {
    if (!this.#line.waiting) return;
    this.#line.waiting = false;
    if (this.#outlet.msiEnabled) this.#told = 0;
    this.cause(0);
  }

  #delay(which: Delay, register: number): void {
    this.#delays[which].start(this.#registers.get(register) * delayUnit);
  }

  #takeDelayed(): number {
    const delayed = this.#delayed;
    this.#delayed = 0;
    for (const timer of Object.values(this.#delays)) timer.stop();
    return delayed;
  }

  #endTimers(): void {
    this.#registers.set(ICR, this.#registers.get(ICR) | this.#takeDelayed());
    if (this.#line.timer.running) {
      this.#line.timer.stop();
      this.#lineTimePassed();
    }
    for (const [vector, throttle] of this.#vectors.entries()) {
      if (!throttle.timer.running) continue;
      throttle.timer.stop();
      if (throttle.waiting) this.#outlet.send(vector);
      throttle.waiting = false;
    }
  }
}
