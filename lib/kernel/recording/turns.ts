import { createHook, executionAsyncResource, type AsyncHook } from 'node:async_hooks';

/** Tells, before the program has its turn with a callback, that it is about to: when a timer, a file or an immediate calls it. */
export class Turns {
  readonly #hook: AsyncHook;
  /** What this package itself waits with. */
  readonly #own = new WeakSet<object>();
  #running = false;

  constructor(turn: () => void) {
    this.#hook = createHook({
      before: () => {
        const resource = executionAsyncResource();
        // What follows from a promise is of the same turn.
        if (!(resource instanceof Promise) && !this.#own.has(resource)) turn();
      },
    });
  }

  set running(running: boolean) {
    if (running === this.#running) return;
    this.#running = running;
    if (running) this.#hook.enable();
    else this.#hook.disable();
  }

  /** A timer or immediate that is no turn of the program. */
  own<T extends object>(resource: T): T {
    this.#own.add(resource);
    return resource;
  }
}
