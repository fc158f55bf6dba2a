import { EventEmitter } from 'node:events';
import { errno } from '../abi/errno.js';
import { EFD_NONBLOCK } from '../abi/system.js';
import { Counter } from '../kernel/counter.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, checkedInteger, KernelError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource, together } from '../kernel/resource.js';
import { Waiters, type WaitOptions } from '../kernel/waiters.js';

export interface InterruptWaitOptions extends WaitOptions {
  /**
   * Reads the eventfd again and again for that long before it sleeps, at most 10,000 microseconds. Nothing else of this
   * thread runs meanwhile; what it finds so does not reach listeners; `timeoutMilliseconds` begins after it. Default: 0.
   */
  readonly spinMicroseconds?: number;
}

const mostSpinMicroseconds = 10_000;

/**
 * One interrupt vector: an eventfd that the kernel signals. Interrupts coalesce: what arrives is how many there were
 * since the last time.
 *
 * Take them by `wait()`, by `for await`, by `on('signal', …)`, or by `poll()` without the event loop. A pending `wait()`
 * keeps the process alive; listening does so only between `ref()` and `unref()`.
 */
export class Interrupt extends Resource {
  readonly #eventfd: Descriptor;
  readonly #counter: Counter;
  readonly #events = new EventEmitter<{ signal: [count: number] }>();
  readonly #waiters: Waiters<number>;
  /** Unmasks a line that the kernel masked at delivery; undefined for interrupts that need none. */
  readonly #unmask: (() => void) | undefined;
  #masked = false;
  #pending = 0;

  constructor(owner: Resource, kernel: Kernel, label: string, unmask: (() => void) | undefined) {
    owner.assertOpen();
    let came = (_count: number): void => {};
    // All that can fail comes first: the owner would close what was never whole.
    const { eventfd, waiters } = together((undo) => {
      const fd = check(kernel.eventfd(0, EFD_NONBLOCK), { syscall: 'eventfd' });
      const eventfd = undo(Descriptor.adopt(kernel, fd, `eventfd of ${label}`));
      const watch = eventfd.watchCount((count) => came(count));
      return { eventfd, waiters: new Waiters<number>(label, watch) };
    });
    super(label, owner);
    this.#unmask = unmask;
    this.#eventfd = eventfd;
    this.#waiters = waiters;
    this.#counter = new Counter((bytes) => kernel.read(eventfd.fd, bytes));
    came = (count) => this.#came(count);
  }

  /** The eventfd, for other programs and for requests that take one. */
  get fd(): number {
    return this.#eventfd.fd;
  }

  /**
   * Resolves with how many interrupts there were since the last time, at least 1. A level-triggered line is unmasked
   * first: by asking for the next interrupt, the driver says that it has served the last.
   */
  wait(options: InterruptWaitOptions = {}): Promise<number> {
    return new Promise((resolve) => {
      this.assertOpen();
      const { spinMicroseconds = 0 } = options;
      checkedInteger('spinMicroseconds', spinMicroseconds, mostSpinMicroseconds);
      options.signal?.throwIfAborted();
      if (this.#pending > 0) return resolve(this.#takePending());
      this.#unmaskServed();
      // What comes is theirs who have waited longer.
      const count = spinMicroseconds > 0 && this.#waiters.size === 0 ? this.#spin(spinMicroseconds) : 0;
      resolve(count > 0 ? count : this.#waiters.wait(options));
    });
  }

  /**
   * How many interrupts there were since the last time, 0 if none: for drivers that spin. One read(2) of the eventfd,
   * without the event loop; listeners and those who wait do not get what it takes. A level-triggered line is unmasked as
   * `wait()` does.
   */
  poll(): number {
    this.assertOpen();
    if (this.#pending > 0) return this.#takePending();
    this.#unmaskServed();
    return this.#read();
  }

  /** Counts of interrupts, for as long as the interrupt is open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<number, void> {
    while (!this.closed) yield await this.wait();
  }

  /**
   * Calls `listener` with the count of each batch. After the listeners return, a level-triggered line is unmasked: serve
   * the device in the listener.
   */
  on(event: 'signal', listener: (count: number) => void): this {
    this.#events.on(event, listener);
    return this;
  }

  off(event: 'signal', listener: (count: number) => void): this {
    this.#events.off(event, listener);
    return this;
  }

  /** Keeps the process alive while the interrupt is open. */
  ref(): this {
    if (!this.closed) this.#waiters.ref();
    return this;
  }

  unref(): this {
    if (!this.closed) this.#waiters.unref();
    return this;
  }

  #spin(microseconds: number): number {
    const end = performance.now() + microseconds / 1000;
    let count = 0;
    while (count === 0 && performance.now() < end) count = this.#read();
    return count;
  }

  #read(): number {
    const count = this.#counter.take();
    if (count === -errno.EAGAIN) return 0;
    if (count < 0) throw new KernelError(count, { syscall: 'read', path: this.#eventfd.path });
    this.#masked = this.#unmask !== undefined;
    return count;
  }

  #came(count: number): void {
    this.#masked = this.#unmask !== undefined;
    this.#pending += count;
    if (this.#events.listenerCount('signal') > 0) {
      this.#events.emit('signal', this.#waiters.size > 0 ? this.#pending : this.#takePending());
      this.#unmaskServed();
    }
    if (this.#pending > 0 && this.#waiters.size > 0) this.#waiters.give(this.#takePending());
  }

  #takePending(): number {
    const count = this.#pending;
    this.#pending = 0;
    return count;
  }

  #unmaskServed(): void {
    if (!this.#masked || this.closed) return;
    this.#masked = false;
    this.#unmask?.();
  }

  protected override release(): void {
    this.#waiters.close();
    this.#eventfd.close();
  }
}
