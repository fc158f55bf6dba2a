import { describe, expect, it } from 'vitest';
import { pollUntil } from '../../lib/driver/index.js';

describe('pollUntil', () => {
  it.each([0, 1])('looks again until there is something, with pauses of %i ms', async (pauseMilliseconds) => {
    let [looks, ready] = [0, false];
    setTimeout(() => (ready = true), 5);
    const look = (): number | undefined => (++looks > 0 && ready ? looks : undefined);
    expect(await pollUntil(look, { what: 'it', timeoutMilliseconds: 5000, pauseMilliseconds })).toBe(looks);
    expect(looks).toBeGreaterThan(2);
  });

  it('takes what is falsy, but not undefined, and looks once where there is no time', async () => {
    expect(await pollUntil(() => 0, { what: 'it', timeoutMilliseconds: 0 })).toBe(0);
    await expect(pollUntil(() => undefined, { what: 'The answer', timeoutMilliseconds: 0 })).rejects.toThrow(
      'The answer did not come within 0 ms',
    );
  });

  it('says what there was at last, passes on what fails, and can be told to stop', async () => {
    await expect(pollUntil(() => undefined, { what: 'READY', found: () => 'STATUS=0x0', timeoutMilliseconds: 3 })).rejects.toMatchObject({
      code: 'ERR_VFIO_TIMEOUT',
      message: 'READY did not come within 3 ms: STATUS=0x0',
    });
    const failing = (): undefined => {
      throw new Error('gone');
    };
    await expect(pollUntil(failing, { what: 'it', timeoutMilliseconds: 3 })).rejects.toThrow('gone');
    const signal = AbortSignal.timeout(5);
    for (const pauseMilliseconds of [0, 1])
      await expect(pollUntil(() => undefined, { what: 'it', timeoutMilliseconds: 5000, pauseMilliseconds, signal })).rejects.toThrow(
        'aborted',
      );
  });
});
