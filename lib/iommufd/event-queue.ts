import { Descriptor } from '../kernel/descriptor.js';
import { ClosedError } from '../kernel/error.js';
import { finishAll, Resource } from '../kernel/resource.js';
import { Waiters, type WaitOptions } from '../kernel/waiters.js';
import { destroyObject } from './destroy.js';

/** An object of /dev/iommu and the fd its events come out of. */
export interface QueueIds {
  readonly id: number;
  readonly fd: number;
}

/**
 * Events of devices, in the order they came. Take them by `read()`, by `wait()` or by `for await`; each goes to one taker.
 * A pending `wait()` keeps the process alive, and so does the queue between `ref()` and `unref()`.
 */
export abstract class EventQueue<Event> extends Resource {
  /** Its id in the open file. */
  readonly id: number;
  /** @internal */
  protected readonly events: Descriptor;
  readonly #iommufd: Descriptor;
  /** Made for the first who waits: what nobody waits for stays in the kernel. */
  #madeWaiters: Waiters<Event> | undefined;
  /** Taken out of the kernel, and by nobody yet. */
  #pending: Event[] = [];

  /** @internal */
  protected constructor(owner: Resource, iommufd: Descriptor, name: string, { id, fd }: QueueIds) {
    super(`${name} ${id} of ${iommufd.path}`, owner);
    this.id = id;
    this.#iommufd = iommufd;
    this.events = Descriptor.adopt(iommufd.kernel, fd, this.label);
  }

  /** The fd, for other programs. */
  get fd(): number {
    return this.events.fd;
  }

  /** What there is, without waiting: all of it, or none. read(2). */
  read(): Event[] {
    this.assertOpen();
    return [...this.#pending.splice(0), ...this.take()];
  }

  /** Resolves with the next one. @throws ClosedError when the queue is closed. */
  wait(options: WaitOptions = {}): Promise<Event> {
    return new Promise((resolve) => {
      this.assertOpen();
      options.signal?.throwIfAborted();
      this.#pending.push(...this.take());
      const next = this.#pending.shift();
      resolve(next ?? this.#waiters.wait(options));
    });
  }

  /** One after the other, until the queue is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void> {
    while (!this.closed) {
      let next: Event;
      try {
        next = await this.wait();
      } catch (error) {
        if (error instanceof ClosedError) return;
        throw error;
      }
      yield next;
    }
  }

  /** Keeps the process alive while the queue is open. */
  ref(): this {
    this.#waiters.ref();
    return this;
  }

  unref(): this {
    this.#madeWaiters?.unref();
    return this;
  }

  get #waiters(): Waiters<Event> {
    this.assertOpen();
    return (this.#madeWaiters ??= new Waiters(
      this.label,
      this.events.watch(() => this.#ready()),
    ));
  }

  /** All that the kernel has. */
  protected abstract take(): readonly Event[];

  #ready(): void {
    this.#pending.push(...this.take());
    while (this.#waiters.size > 0) {
      const next = this.#pending.shift();
      if (next === undefined) return;
      this.#waiters.give(next);
    }
  }

  /** The object cannot go before its fd. */
  protected override release(): void {
    finishAll([() => this.#madeWaiters?.close(), () => this.events.close(), () => destroyObject(this.#iommufd, this.id)]);
  }
}
