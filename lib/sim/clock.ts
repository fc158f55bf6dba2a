import { now } from '../kernel/clock.js';
import { expected } from '../kernel/error.js';

/** What time goes by in a machine: that of this process, or one that stands still until it is moved. */
export type TimeKind = 'real' | 'virtual';

interface Event {
  /** In nanoseconds, a whole number. */
  readonly due: number;
  readonly action: () => void;
}

const perMillisecond = 1e6;
/** What an access of a register takes in virtual time, about as long as over PCI Express: a driver that spins on one gets on. */
const accessTime = 1000;

/**
 * When things happen in the machine. Times are milliseconds, in fractions down to the nanosecond (0.000001), and never less.
 *
 * In real time an event runs when its time has come and either the event loop turns or somebody looks at the machine
 * (`poll`): so a driver that spins on a register sees it change, as it would on hardware. In virtual time it runs when
 * `advance` comes past it, or an access of a register, each of which takes a microsecond; nothing depends on how fast this
 * process is. Events of one time run in the order they were asked for.
 */
export class Clock {
  readonly kind: TimeKind;
  /** The next one last. */
  readonly #events: Event[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Virtual time. */
  #passed = 0;

  constructor(kind: TimeKind = 'real') {
    this.kind = kind;
  }

  /** Milliseconds: since the machine was made in virtual time, since the process began in real time. */
  get now(): number {
    return this.#nanoseconds / perMillisecond;
  }

  /** Milliseconds from now until something is to happen, 0 if it is late; undefined if nothing is. */
  get next(): number | undefined {
    const first = this.#events.at(-1);
    return first === undefined ? undefined : Math.max(0, first.due - this.#nanoseconds) / perMillisecond;
  }

  /** Runs `action` after that much time. */
  after(milliseconds: number, action: () => void): void {
    const due = this.#nanoseconds + toNanoseconds(milliseconds);
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle]?.due ?? 0) > due) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, { due, action });
    this.#arm();
  }

  /** Somebody looks at the machine: in virtual time that takes a little; what is due runs. */
  poll(): void {
    if (this.kind === 'virtual') this.#moveTo(this.#passed + accessTime);
    else this.#runUntil(this.#nanoseconds);
  }

  /**
   * Lets so much time pass, and runs what comes in it, in order and each at its own time.
   * @throws RangeError in real time, which cannot be moved.
   */
  advance(milliseconds: number): void {
    if (this.kind !== 'virtual') throw expected("a machine with time: 'virtual'", 'clock', `one in ${this.kind} time`);
    this.#moveTo(this.#passed + toNanoseconds(milliseconds));
  }

  get #nanoseconds(): number {
    return this.kind === 'virtual' ? this.#passed : Math.round(now() * perMillisecond);
  }

  #moveTo(end: number): void {
    this.#runUntil(end);
    this.#passed = Math.max(this.#passed, end);
  }

  #runUntil(end: number): void {
    for (let first = this.#events.at(-1); first !== undefined && first.due <= end; first = this.#events.at(-1)) {
      this.#events.pop();
      this.#passed = Math.max(this.#passed, first.due);
      first.action();
    }
    this.#arm();
  }

  #arm(): void {
    if (this.kind === 'virtual') return;
    clearTimeout(this.#timer);
    const { next } = this;
    // Waiting for the machine is what keeps a process alive, not the machine itself.
    if (next !== undefined) this.#timer = setTimeout(() => this.poll(), next).unref();
  }
}

function toNanoseconds(milliseconds: number): number {
  if (!(milliseconds >= 0 && milliseconds < Number.MAX_SAFE_INTEGER / perMillisecond))
    throw expected('a time from 0 to about 100 days', 'milliseconds', milliseconds);
  return Math.round(milliseconds * perMillisecond);
}
