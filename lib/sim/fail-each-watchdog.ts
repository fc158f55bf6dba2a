import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { stackHere } from '../kernel/audit.js';

/** Events of the process that end it where nobody takes them. */
const deadly = ['uncaughtException', 'unhandledRejection'] as const;

/** Something that can keep the event loop going. */
interface Handle {
  readonly type: string;
  readonly resource: { hasRef?(): boolean };
  readonly stack: string;
}

/** These end by themselves. */
const passing = new Set(['PROMISE', 'TickObject', 'Immediate', 'Microtask']);

const running = new AsyncLocalStorage<Watchdog>();

/** What happens in the process while a driver runs, beside what the driver says itself. */
export class Watchdog {
  readonly #uncaught: string[] = [];
  /** What the driver made, and nobody else in the process. */
  readonly #handles = new Map<number, Handle>();
  readonly #hook = createHook({
    init: (id, type, _trigger, resource) => {
      if (!passing.has(type) && running.getStore() === this) this.#handles.set(id, { type, resource, stack: stackHere() });
    },
    destroy: (id) => this.#handles.delete(id),
  });
  readonly #listeners = deadly.map((event) => [event, process.listeners(event as 'uncaughtException')] as const);
  readonly #take = (reason: unknown): void => {
    this.#uncaught.push(textOf(reason));
  };

  constructor() {
    for (const event of deadly) {
      process.removeAllListeners(event);
      process.on(event, this.#take);
    }
    this.#hook.enable();
  }

  /** Runs the driver, for so long at most. */
  async watch(milliseconds: number, driver: () => unknown): Promise<{ ended: boolean; error?: unknown }> {
    const stop = new AbortController();
    const late = delay(milliseconds, { ended: false }, { signal: stop.signal }).catch(() => ({ ended: true }));
    const done = (async () => {
      try {
        await running.run(this, driver);
        return { ended: true };
      } catch (error) {
        // A program may throw whatever it likes.
        return { ended: true, error: error ?? new Error(`The driver threw ${String(error)}`) };
      }
    })();
    try {
      return await Promise.race([done, late]);
    } finally {
      stop.abort();
    }
  }

  /** What nobody caught, and what has come to keep the process alive. The process is its own again. */
  async end(): Promise<{ uncaught: readonly string[]; handles: readonly string[] }> {
    // Rejections are told, and handles go, in later turns of the event loop.
    for (let turns = 0; turns < 5; turns += 1) await turn();
    this.#hook.disable();
    for (const [event, listeners] of this.#listeners) {
      process.off(event, this.#take);
      for (const listener of listeners) process.on(event, listener);
    }
    const left = [...this.#handles.values()].filter(({ resource }) => resource.hasRef?.() === true);
    return { uncaught: this.#uncaught, handles: left.map(({ type, stack }) => `${type}, which keeps the process alive\n${stack}`) };
  }
}

/** Why the error is a crash, or undefined where it is one that says what happened: a system's, this package's, or a program's own. */
export function crashOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return `What was thrown is no Error but ${String(error)}`;
  const mistakes = [TypeError, RangeError, ReferenceError, SyntaxError];
  if ('code' in error || !mistakes.some((mistake) => error instanceof mistake)) return undefined;
  return textOf(error);
}

function textOf(reason: unknown): string {
  return reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
}
