import type { Watch } from '../kernel/kernel.js';

/** Those who wait for a file to be readable. */
export class Watchers {
  readonly #readable: () => boolean;
  readonly #watches = new Set<TurnWatch>();

  constructor(readable: () => boolean) {
    this.#readable = readable;
  }

  watch(ready: () => void): Watch {
    const watch = new TurnWatch(this.#readable, ready, (stopped) => this.#watches.delete(stopped));
    this.#watches.add(watch);
    watch.wake();
    return watch;
  }

  /** Something came that can be read. */
  wake(): void {
    for (const watch of this.#watches) watch.wake();
  }
}

/** Calls back once a turn of the event loop while the file is readable. */
class TurnWatch implements Watch {
  readonly #readable: () => boolean;
  readonly #ready: () => void;
  readonly #stopped: (watch: TurnWatch) => void;
  #turn: NodeJS.Immediate | undefined;
  #alive: NodeJS.Timeout | undefined;
  #referenced = false;
  #active = true;

  constructor(readable: () => boolean, ready: () => void, stopped: (watch: TurnWatch) => void) {
    this.#readable = readable;
    this.#ready = ready;
    this.#stopped = stopped;
  }

  /** What has just come is told in the next turn, even if nothing else keeps the process alive until then. */
  wake(): void {
    this.#schedule();
    this.#turn?.ref();
  }

  #schedule(): void {
    if (!this.#active || this.#turn !== undefined) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      if (!this.#active || !this.#readable()) return;
      // Asked again before the callback runs: one that throws is called again all the same.
      this.#schedule();
      this.#ready();
    });
    if (!this.#referenced) this.#turn.unref();
  }

  ref(): void {
    if (!this.#active || this.#referenced) return;
    this.#referenced = true;
    this.#turn?.ref();
    // Nothing but a handle keeps Node's loop alive; the longest timer there is stands in for one.
    this.#alive = setInterval(() => {}, 0x7fff_ffff);
  }

  unref(): void {
    this.#referenced = false;
    this.#turn?.unref();
    clearInterval(this.#alive);
  }

  stop(): void {
    this.unref();
    this.#active = false;
    if (this.#turn !== undefined) clearImmediate(this.#turn);
    this.#turn = undefined;
    this.#stopped(this);
  }
}
