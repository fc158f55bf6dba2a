import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

/** Events of the process that end it where nobody takes them. */
const deadly = ['uncaughtException', 'unhandledRejection'] as const;

/** What happens in the process while a driver runs, beside what the driver says itself. */
export class Watchdog {
  readonly #uncaught: string[] = [];
  readonly #before = handles();
  readonly #listeners = deadly.map((event) => [event, process.listeners(event as 'uncaughtException')] as const);
  readonly #take = (reason: unknown): void => {
    this.#uncaught.push(textOf(reason));
  };

  constructor() {
    for (const event of deadly) {
      process.removeAllListeners(event);
      process.on(event, this.#take);
    }
  }

  /** Runs the driver, for so long at most. */
  async watch(milliseconds: number, driver: () => unknown): Promise<{ ended: boolean; error?: unknown }> {
    const stop = new AbortController();
    const late = delay(milliseconds, { ended: false }, { signal: stop.signal }).catch(() => ({ ended: true }));
    const done = (async () => {
      try {
        await driver();
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
    // Rejections are told in later turns of the event loop; handles close in them.
    for (let turns = 0; turns < 3; turns += 1) await turn();
    for (let waits = 0; waits < 10 && this.#more().length > 0; waits += 1) await delay(2);
    for (const [event, listeners] of this.#listeners) {
      process.off(event, this.#take);
      for (const listener of listeners) process.on(event, listener);
    }
    return { uncaught: this.#uncaught, handles: this.#more() };
  }

  #more(): string[] {
    const left = [...this.#before];
    return handles().filter((name) => {
      const index = left.indexOf(name);
      if (index >= 0) left.splice(index, 1);
      return index < 0;
    });
  }
}

/** What keeps the event loop going, but for what comes and goes by itself. */
function handles(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name !== 'Immediate' && !name.endsWith('ReqPromise') && !name.includes('ReqCallback'));
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
