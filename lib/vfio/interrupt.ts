import { EventEmitter } from 'node:events';
import { EFD_NONBLOCK } from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource, together } from '../kernel/resource.js';
import { Waiters, type WaitOptions } from '../kernel/waiters.js';

/**
 * One interrupt vector: an eventfd that the kernel signals. Interrupts coalesce: what arrives is how many there were
 * since the last time.
 *
 * Take them by `wait()`, by `for await`, or by `on('signal', …)`. A pending `wait()` keeps the process alive; listening
 * does so only between `ref()` and `unref()`.
 */
export class Interrupt extends Resource {
  readonly #eventfd: Descriptor;
  readonly #counter = new BigUint64Array(new ArrayBuffer(8));
  readonly #events = new EventEmitter<{ signal: [count: number] }>();
  readonly #waiters: Waiters<number>;
  /** Unmasks a line that the kernel masked at delivery; undefined for interrupts that need none. */
  readonly #unmask: (() => void) | undefined;
  #masked = false;
  #pending = 0;

  constructor(owner: Resource, kernel: Kernel, label: string, unmask: (() => void) | undefined) {
    owner.assertOpen();
    let ready = (): void => {};
    // All that can fail comes first: the owner would close what was never whole.
    const { eventfd, waiters } = together((undo) => {
      const fd = check(kernel.eventfd(0, EFD_NONBLOCK), { syscall: 'eventfd' });
      const eventfd = undo(Descriptor.adopt(kernel, fd, `eventfd of ${label}`));
      return { eventfd, waiters: new Waiters<number>(label, eventfd, () => ready()) };
    });
    super(label, owner);
    this.#unmask = unmask;
    this.#eventfd = eventfd;
    this.#waiters = waiters;
    ready = () => this.#ready();
  }

  /** The eventfd, for other programs and for requests that take one. */
  get fd(): number {
    return this.#eventfd.fd;
  }

  /**
   * Resolves with how many interrupts there were since the last time, at least 1. A level-triggered line is unmasked
   * first: by asking for the next interrupt, the driver says that it has served the last.
   */
  wait(options: WaitOptions = {}): Promise<number> {
    return new Promise((resolve) => {
      this.assertOpen();
      options.signal?.throwIfAborted();
      if (this.#pending > 0) return resolve(this.#takePending());
      this.#unmaskServed();
      resolve(this.#waiters.wait(options));
    });
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

  #ready(): void {
    const bytes = new Uint8Array(this.#counter.buffer);
    // Somebody else may have read the eventfd between its wake-up and now.
    if (this.#eventfd.kernel.read(this.#eventfd.fd, bytes) !== bytes.byteLength) return;
    this.#masked = this.#unmask !== undefined;
    this.#pending += Number(this.#counter[0]);
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
