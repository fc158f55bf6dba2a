import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '../kernel/error.js';

export interface PollOptions {
  /** What is waited for, as the error is to say it. */
  readonly what: string;
  /** What there was at last, for the error. */
  readonly found?: () => string;
  readonly timeoutMilliseconds: number;
  /** Between two looks, after the first 50 microseconds. With 0 a turn of the event loop. Default: 1. */
  readonly pauseMilliseconds?: number;
  readonly signal?: AbortSignal;
}

/** As long as it is looked without a pause. */
const spinMilliseconds = 0.05;

/**
 * Calls `look` until it gives something: first without a pause, then with one between, in which others have their turn. The last
 * look is after the time is over.
 * @throws CodedError ERR_VFIO_TIMEOUT; what `look` throws; the signal's reason
 */
export async function pollUntil<T>(look: () => T | undefined, options: PollOptions): Promise<T> {
  const { what, timeoutMilliseconds, pauseMilliseconds = 1 } = options;
  const signal = { ...(options.signal && { signal: options.signal }) };
  const begin = performance.now();
  for (;;) {
    const passed = performance.now() - begin;
    const result = look();
    if (result !== undefined) return result;
    if (passed >= timeoutMilliseconds) {
      const found = options.found === undefined ? '' : `: ${options.found()}`;
      throw new CodedError('ERR_VFIO_TIMEOUT', `${what} did not come within ${timeoutMilliseconds} ms${found}`);
    }
    if (passed < spinMilliseconds) continue;
    if (pauseMilliseconds === 0) await turn(undefined, signal);
    else await delay(pauseMilliseconds, undefined, signal);
  }
}
