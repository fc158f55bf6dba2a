import { ClosedError, CodedError } from './error.js';
import type { Watch } from './kernel.js';

export interface WaitOptions {
  /** Gives up after that long, with an error whose code is 'ERR_VFIO_TIMEOUT'. Default: never. */
  readonly timeoutMilliseconds?: number;
  /** Gives up when aborted, with the signal's reason. */
  readonly signal?: AbortSignal;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Those who wait for what comes out of an fd. While there are any, or between `ref()` and `unref()`, they keep the process alive. */
export class Waiters<T> {
  readonly #label: string;
  readonly #watch: Watch;
  readonly #waiters = new Set<Waiter<T>>();
  #referenced = false;

  /** `label` is what did not come, or was closed, in their errors; `watch` is of the fd, and ends with them. */
  constructor(label: string, watch: Watch) {
    this.#label = label;
    this.#watch = watch;
  }

  get size(): number {
    return this.#waiters.size;
  }

  wait({ timeoutMilliseconds, signal }: WaitOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const finish = (act: () => void): void => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#keepAlive();
        act();
      };
      const waiter: Waiter<T> = {
        resolve: (value) => finish(() => resolve(value)),
        reject: (reason) => finish(() => reject(reason)),
      };
      const abort = (): void => waiter.reject(signal?.reason);
      const timer =
        timeoutMilliseconds === undefined
          ? undefined
          : setTimeout(() => waiter.reject(timeout(this.#label, timeoutMilliseconds)), timeoutMilliseconds);
      signal?.addEventListener('abort', abort);
      this.#waiters.add(waiter);
      this.#keepAlive();
    });
  }

  /** To the one that waits longest; not to be called when nobody does. */
  give(value: T): void {
    const [waiter] = this.#waiters;
    waiter?.resolve(value);
  }

  ref(): void {
    this.#referenced = true;
    this.#keepAlive();
  }

  unref(): void {
    this.#referenced = false;
    this.#keepAlive();
  }

  #keepAlive(): void {
    if (this.#referenced || this.#waiters.size > 0) this.#watch.ref();
    else this.#watch.unref();
  }

  /** Nothing comes any more. */
  close(): void {
    this.#referenced = false;
    for (const waiter of this.#waiters) waiter.reject(new ClosedError(this.#label));
    this.#watch.stop();
  }
}

function timeout(label: string, milliseconds: number): Error {
  return new CodedError('ERR_VFIO_TIMEOUT', `${label} did not come within ${milliseconds} ms`);
}
