import { EventEmitter } from 'node:events';
import { EFD_NONBLOCK } from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, ClosedError, CodedError } from '../kernel/error.js';
import type { Kernel, Watch } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';

export interface WaitOptions {
  /** Gives up after that long, with an error whose code is 'ERR_VFIO_TIMEOUT'. Default: never. */
  readonly timeoutMilliseconds?: number;
  /** Gives up when aborted, with the signal's reason. */
  readonly signal?: AbortSignal;
}

interface Waiter {
  resolve(count: number): void;
  reject(reason: unknown): void;
}

/**
 * One interrupt vector: an eventfd that the kernel signals. Interrupts coalesce: what arrives is how many there were
 * since the last time.
 *
 * Take them by `wait()`, by `for await`, or by `on('signal', …)`. A pending `wait()` keeps the process alive; listening
 * does so only between `ref()` and `unref()`.
 */
export class Interrupt extends Resource {
  readonly #eventfd: Descriptor;
  readonly #watch: Watch;
  readonly #counter = new BigUint64Array(new ArrayBuffer(8));
  readonly #events = new EventEmitter<{ signal: [count: number] }>();
  readonly #waiters = new Set<Waiter>();
  /** Unmasks a line that the kernel masked at delivery; undefined for interrupts that need none. */
  readonly #unmask: (() => void) | undefined;
  #masked = false;
  #pending = 0;
  #referenced = false;

  constructor(owner: Resource, kernel: Kernel, label: string, unmask: (() => void) | undefined) {
    super(label, owner);
    this.#unmask = unmask;
    this.#eventfd = Descriptor.adopt(kernel, check(kernel.eventfd(0, EFD_NONBLOCK), { syscall: 'eventfd' }), `eventfd of ${label}`);
    const watch = kernel.watch(this.#eventfd.fd, () => this.#ready());
    if (typeof watch === 'number') {
      this.#eventfd.close();
      check(watch, { syscall: 'epoll_ctl', path: this.#eventfd.path });
      throw new TypeError(`watch answered ${watch}`);
    }
    this.#watch = watch;
  }

  /** The eventfd, for other programs and for requests that take one. */
  get fd(): number {
    return this.#eventfd.fd;
  }

  /**
   * Resolves with how many interrupts there were since the last time, at least 1. A level-triggered line is unmasked
   * first: by asking for the next interrupt, the driver says that it has served the last.
   */
  wait({ timeoutMilliseconds, signal }: WaitOptions = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      this.assertOpen();
      signal?.throwIfAborted();
      if (this.#pending > 0) {
        resolve(this.#takePending());
        return;
      }
      this.#unmaskServed();
      const finish = (act: () => void): void => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#keepAlive();
        act();
      };
      const waiter: Waiter = {
        resolve: (count) => finish(() => resolve(count)),
        reject: (reason) => finish(() => reject(reason)),
      };
      const abort = (): void => waiter.reject(signal?.reason);
      const timer =
        timeoutMilliseconds === undefined
          ? undefined
          : setTimeout(() => waiter.reject(timeout(this.label, timeoutMilliseconds)), timeoutMilliseconds);
      signal?.addEventListener('abort', abort);
      this.#waiters.add(waiter);
      this.#keepAlive();
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
    this.#referenced = true;
    this.#keepAlive();
    return this;
  }

  unref(): this {
    this.#referenced = false;
    this.#keepAlive();
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
    const [waiter] = this.#waiters;
    if (this.#pending > 0) waiter?.resolve(this.#takePending());
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

  #keepAlive(): void {
    if (this.closed) return;
    if (this.#referenced || this.#waiters.size > 0) this.#watch.ref();
    else this.#watch.unref();
  }

  protected override release(): void {
    this.#watch.stop();
    for (const waiter of this.#waiters) waiter.reject(new ClosedError(this.label));
    this.#eventfd.close();
  }
}

function timeout(label: string, milliseconds: number): Error {
  return new CodedError('ERR_VFIO_TIMEOUT', `${label} did not come within ${milliseconds} ms`);
}
