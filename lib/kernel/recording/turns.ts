import { createHook, executionAsyncResource, type AsyncHook } from 'node:async_hooks';

/** Tells, before the program has its turn with a callback, that it is about to: when a timer, a file or an immediate calls it. */
export class Turns {
  readonly #hook: AsyncHook;
  /** What this package itself waits with. */
  readonly #own = new WeakSet<object>();
  #running = false;

  /** `turn` is told the kind of callback: 'Immediate', 'Timeout', and what else Node has. */
  constructor(turn: (kind: string) => void) {
    this.#hook = createHook({
      before: () => {
        const resource = executionAsyncResource();
        // What follows from a promise is of the same turn.
        if (!(resource instanceof Promise) && !this.#own.has(resource)) turn(resource.constructor.name);
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

/** How many turns of each kind there were since the last line of the recording: who else has timers does not count for immediates. */
export class TurnCount {
  readonly #counts = new Map<string, number>();

  /** Counts one more of that kind. Returns how many there were. */
  add(kind: string): number {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return count;
  }

  clear(): void {
    this.#counts.clear();
  }
}
