import type { Interrupt } from 'vfio';
import type { Command, Done, QueuePair } from './queue-pair.js';

export interface AttendantOptions {
  readonly queue: QueuePair;
  /** Tells that commands have ended. Without one the queue is looked at in each turn of the event loop. */
  readonly vector: Interrupt | undefined;
  /** As long as a command may take. */
  readonly timeoutMilliseconds: number;
  /** Says how the controller is; throws when it will not end commands any more. */
  readonly examine: () => string;
  /** Stops the controller and then abandons what is in flight. It never fails itself. */
  readonly fail: (error: unknown) => Promise<void>;
}

/**
 * Sees to it that each command of a queue pair ends: by the controller, or with an error where the controller does not. However
 * many commands are in flight, and whoever put them there, one loop waits for all of them.
 */
export class Attendant {
  readonly queue: QueuePair;
  readonly #interrupts: boolean;
  readonly #timeoutMilliseconds: number;
  readonly #examine: () => string;
  readonly #fail: (error: unknown) => Promise<void>;
  /** Between two looks at the controller and at how old commands are: also what a lost interrupt costs. */
  readonly #lookMilliseconds: number;
  /** Commands for which there was no place. */
  readonly #waiting: { readonly command: Command; readonly done: Done }[] = [];
  #attending: Promise<void> | undefined;
  #ringsSoon = false;
  #lookIsDue = false;
  /** Has the loop go on, where it waits. */
  #goOn: (() => void) | undefined;

  constructor({ queue, vector, timeoutMilliseconds, examine, fail }: AttendantOptions) {
    this.queue = queue;
    this.#interrupts = vector !== undefined;
    vector?.on('signal', this.#wake);
    this.#timeoutMilliseconds = timeoutMilliseconds;
    this.#examine = examine;
    this.#fail = fail;
    this.#lookMilliseconds = Math.min(100, timeoutMilliseconds / 10);
  }

  /** Puts a command in the queue, or keeps it until there is a place. The doorbell is rung once for all of one turn. */
  submit(command: Command, done: Done): void {
    if (this.#waiting.length > 0 || !this.queue.put(command, done)) this.#waiting.push({ command, done });
    if (!this.#ringsSoon) queueMicrotask(this.#ring);
    this.#ringsSoon = true;
    void this.attend();
  }

  /**
   * Resolves when nothing is in flight any more, however that came. `busyMilliseconds` is how long the queue is looked at before
   * the event loop has a turn: for those whose commands put the next ones themselves.
   */
  attend(busyMilliseconds = 0): Promise<void> {
    this.#attending ??= this.#untilIdle(busyMilliseconds);
    return this.#attending;
  }

  /** Ends what is in flight or waits. The controller must be stopped. */
  abandon(status: number): void {
    const waiting = this.#waiting.splice(0);
    this.queue.abandon(status);
    for (const { done } of waiting) done(status, 0);
  }

  readonly #ring = (): void => {
    this.#ringsSoon = false;
    try {
      this.queue.ring();
    } catch (error) {
      void this.#fail(error);
    }
  };

  readonly #lookSoon = (): void => {
    this.#lookIsDue = true;
    this.#wake();
  };

  readonly #wake = (): void => {
    this.#goOn?.();
    this.#goOn = undefined;
  };

  async #untilIdle(busyMilliseconds: number): Promise<void> {
    const { queue } = this;
    // It keeps the process alive, too, which a vector that is listened to does not.
    const looks = setInterval(this.#lookSoon, this.#lookMilliseconds);
    this.#lookIsDue = false;
    try {
      // After the doorbell, which is rung when this turn is over.
      await undefined;
      while (queue.inFlight > 0) {
        const busyUntil = performance.now() + busyMilliseconds;
        do {
          if (queue.poll() > 0) this.#admit();
        } while (queue.inFlight > 0 && performance.now() < busyUntil);
        if (this.#lookIsDue) this.#look();
        if (queue.inFlight > 0) await this.#news();
      }
    } catch (error) {
      await this.#fail(error);
    } finally {
      clearInterval(looks);
      this.#attending = undefined;
    }
  }

  /** Gives places that were freed to those who wait, and tells the controller of all that is new. */
  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.queue.put(next.command, next.done); next = this.#waiting[0])
      this.#waiting.shift();
    this.queue.ring();
  }

  /** @throws Error when the controller is not well, or a command has taken too long. */
  #look(): void {
    this.#lookIsDue = false;
    const state = this.#examine();
    const opcode = this.queue.look(Math.ceil(this.#timeoutMilliseconds / this.#lookMilliseconds));
    if (opcode !== undefined) throw new Error(`Opcode ${opcode} did not end within ${this.#timeoutMilliseconds} ms; ${state}`);
  }

  /** A turn of the event loop; or an interrupt, or that it is time for a look. */
  #news(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#interrupts) this.#goOn = resolve;
      else setImmediate(resolve);
    });
  }
}
