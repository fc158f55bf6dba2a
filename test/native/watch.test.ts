import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, describe, expect, it } from 'vitest';
import {
  addon,
  addonPath,
  close,
  collect,
  EAGAIN,
  EFD_NONBLOCK,
  expectNothingHeldSince,
  held,
  inChild,
  inWorker,
  modeOf,
  scratchFile,
  worker,
} from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const count = new Uint8Array(8);
const event = (): number => addon.eventfd(0, EFD_NONBLOCK);
const many = 2000;
/** A watch has an fd of its own beside the one it watches. */
const fdsOfMany = 2 * many + 100;
const mostFds = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? Infinity);

/** Turns of the loop until `condition`, or for two seconds. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i += 1) await sleep(5);
  expect(condition()).toBe(true);
}

describe('watch', () => {
  it('calls while the fd is readable, until it is read', async () => {
    const fd = event();
    let calls = 0;
    const watch = addon.watch(fd, () => {
      calls += 1;
      if (calls === 3) addon.read(fd, count);
    });
    await sleep(20);
    expect(calls).toBe(0);
    addon.write(fd, one);
    await until(() => calls === 3);
    await sleep(20);
    expect(calls).toBe(3);
    addon.watchStop(watch);
    addon.close(fd);
  });

  it('leaves the file as it is: one that blocks still does', () => {
    const fd = addon.eventfd(0, 0);
    const watch = addon.watch(fd, () => {});
    expect(modeOf(fd) & EFD_NONBLOCK).toBe(0);
    addon.watchStop(watch);
    addon.close(fd);
  });

  it('an fd may be watched more than once', async () => {
    const fd = event();
    const seen = new Set<string>();
    const watches = ['a', 'b', 'c'].map((name) => addon.watch(fd, () => seen.add(name)));
    addon.write(fd, one);
    await until(() => seen.size === 3);
    for (const watch of watches) addon.watchStop(watch);
    addon.close(fd);
  });

  it('a file that is always ready cannot be watched: EPERM', () => {
    const fd = scratchFile(8);
    expect(addon.watch(fd, () => {})).toBe(-1);
    expect(fstatSync(fd).size).toBe(8);
    close(fd);
  });

  it('arguments are checked', () => {
    const fd = event();
    for (const start of ['watch', 'watchCount']) {
      for (const wrong of [undefined, null, {}, 'x', 1]) {
        expect(() => addon[start]!(fd, wrong)).toThrow(/^Expected a function for ready but received /);
      }
      expect(() => addon[start]!(-1, () => {})).toThrow(RangeError);
    }
    for (const call of ['watchRef', 'watchUnref', 'watchStop']) {
      for (const wrong of [undefined, null, {}, 1]) expect(() => addon[call]!(wrong)).toThrow(/^Expected a watch for watch but received /);
    }
    addon.close(fd);
  });

  it('goes on when its handle is forgotten', () => {
    const { status, output } = inChild(`
      const fd = addon.eventfd(0, 0x800);
      (() => addon.watchRef(addon.watch(fd, () => { console.log('called'); process.exit(); })))();
      setImmediate(() => { gc(); setImmediate(() => { gc(); addon.write(fd, one); }); });
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'called\n' });
  });

  it('keeps the async context it was made in', async () => {
    const storage = new AsyncLocalStorage<string>();
    const fd = event();
    let seen: string | undefined;
    const watch = storage.run('inside', () =>
      addon.watch(fd, () => {
        seen = storage.getStore();
        addon.read(fd, count);
      }),
    );
    addon.write(fd, one);
    await until(() => seen !== undefined);
    expect(seen).toBe('inside');
    addon.watchStop(watch);
    addon.close(fd);
  });

  it('microtasks run after each call', async () => {
    const fd = event();
    const order: string[] = [];
    const watch = addon.watch(fd, () => {
      order.push('call');
      void Promise.resolve().then(() => order.push('microtask'));
      if (order.length >= 3) addon.read(fd, count);
    });
    addon.write(fd, one);
    await until(() => order.length === 4);
    expect(order).toEqual(['call', 'microtask', 'call', 'microtask']);
    addon.watchStop(watch);
    addon.close(fd);
  });
});

describe('watchCount', () => {
  it('reads the eventfd and calls with its count', async () => {
    const fd = event();
    const calls: number[][] = [];
    const watch = addon.watchCount(fd, (...given: number[]) => calls.push(given));
    for (let i = 0; i < 3; i += 1) addon.write(fd, one);
    await until(() => calls.length === 1);
    addon.write(fd, new Uint8Array(new BigUint64Array([2n ** 40n + 1n]).buffer));
    await until(() => calls.length === 2);
    expect(calls).toEqual([[3], [2 ** 40 + 1]]);
    expect(addon.read(fd, count)).toBe(EAGAIN);
    addon.watchStop(watch);
    addon.close(fd);
  });

  it('each count goes to one of those who watch', async () => {
    const fd = event();
    let [calls, sum] = [0, 0];
    const watches = [0, 1, 2].map(() =>
      addon.watchCount(fd, (count: number) => {
        calls += 1;
        sum += count;
      }),
    );
    addon.write(fd, one);
    addon.write(fd, one);
    await until(() => sum === 2);
    await sleep(20);
    expect({ calls, sum }).toEqual({ calls: 1, sum: 2 });
    for (const watch of watches) addon.watchStop(watch);
    addon.close(fd);
  });

  it('is not called for what its own process has read in the same turn', async () => {
    const fds = [event(), event()];
    const sums = [0, 0];
    const watches = fds.map((fd, index) =>
      addon.watchCount(fd, (taken: number) => {
        sums[index]! += taken;
        // Whichever is called first leaves nothing for the other.
        if (addon.read(fds[1 - index]!, count) === 8) sums[1 - index]! += 1;
      }),
    );
    for (const fd of fds) addon.write(fd, one);
    await until(() => sums.every((sum) => sum > 0));
    await sleep(20);
    expect(sums).toEqual([1, 1]);
    for (const watch of watches) addon.watchStop(watch);
    close(...fds);
  });

  it.skipIf(mostFds < fdsOfMany)(`${many} at once, without a thread each, all called, and nothing is left (${fdsOfMany} fds)`, async () => {
    const start = held();
    const threads = (): number => readdirSync('/proc/self/task').length;
    const threadsBefore = threads();
    const fds = Array.from({ length: many }, event);
    const sums = fds.map(() => 0);
    const watches = fds.map((fd, index) => addon.watchCount(fd, (count: number) => (sums[index]! += count)));
    const written = fds.map((_, index) => (index % 3) + 1);
    fds.forEach((fd, index) => addon.write(fd, new Uint8Array(new BigUint64Array([BigInt(written[index]!)]).buffer)));
    await until(() => sums.every((sum) => sum > 0));
    expect(sums).toEqual(written);
    expect(threads() - threadsBefore).toBeLessThan(10);
    for (const watch of watches) addon.watchStop(watch);
    close(...fds);
    await expectNothingHeldSince(start);
  });
});

describe('stop', () => {
  it('no call begins after it, also from inside a call; twice is once', async () => {
    const fd = event();
    let calls = 0;
    const watch = addon.watch(fd, () => {
      calls += 1;
      addon.watchStop(watch);
      addon.watchStop(watch);
    });
    addon.write(fd, one);
    await until(() => calls === 1);
    await sleep(20);
    expect(calls).toBe(1);
    addon.watchStop(watch);
    addon.watchRef(watch);
    addon.watchUnref(watch);
    await collect();
    addon.watchStop(watch);
    addon.close(fd);
  });

  it('a stopped watch has let go of its file', () => {
    const fds = (): number => readdirSync('/proc/self/fd').length;
    const fd = event();
    const open = fds();
    const watch = addon.watch(fd, () => {});
    expect(fds()).toBe(open + 1);
    addon.watchStop(watch);
    expect(fds()).toBe(open);
    addon.close(fd);
  });

  it('the fd may be closed before, and its number used again', async () => {
    const fd = event();
    let calls = 0;
    const watch = addon.watch(fd, () => (calls += 1));
    addon.close(fd);
    const reused = event();
    expect(reused).toBe(fd);
    addon.write(reused, one);
    await sleep(20);
    expect(calls).toBe(0);
    addon.watchStop(watch);
    await collect();
    addon.close(reused);
  });

  it('and start, a thousand times, leave nothing', async () => {
    const fd = event();
    const start = held();
    for (let i = 0; i < 1000; i += 1) {
      const watch = addon.watch(fd, () => {});
      if (i % 2) addon.watchRef(watch);
      addon.watchStop(watch);
      if (i % 100 === 0) await collect();
    }
    await expectNothingHeldSince(start);
    addon.close(fd);
  });
});

describe('the process', () => {
  it('is not kept alive by a watch, but is between ref and unref', () => {
    expect(inChild(`addon.watch(addon.eventfd(0, 0x800), () => {});`)).toEqual({ status: 0, signal: null, output: '' });
    const kept = inChild(`
      const fd = addon.eventfd(0, 0x800);
      const watch = addon.watch(fd, () => { console.log('called'); addon.read(fd, one); addon.watchUnref(watch); });
      addon.watchRef(watch);
      setTimeout(() => addon.write(fd, one), 50).unref();
    `);
    expect(kept).toEqual({ status: 0, signal: null, output: 'called\n' });
  });

  it.skipIf(mostFds < fdsOfMany)(`ends with the last of ${many} watches (${fdsOfMany} fds)`, () => {
    const ended = inChild(`
      let sum = 0;
      for (let i = 0; i < ${many}; i += 1) {
        const fd = addon.eventfd(1, 0x800);
        const watch = addon.watchCount(fd, (count) => { sum += count; addon.watchStop(watch); addon.close(fd); });
        addon.watchRef(watch);
      }
      process.on('exit', () => console.log(sum));
    `);
    expect(ended).toEqual({ status: 0, signal: null, output: `${many}\n` });
  });

  it('gets an exception of a call as uncaughtException, and later calls still come', () => {
    const { status, output } = inChild(`
      const fd = addon.eventfd(0, 0x800);
      let calls = 0;
      process.on('uncaughtException', (error) => console.log('caught', error.message));
      const watch = addon.watch(fd, () => {
        addon.read(fd, new Uint8Array(8));
        calls += 1;
        if (calls === 3) return addon.watchStop(watch);
        setTimeout(() => addon.write(fd, one), 1);
        throw new Error('call ' + calls);
      });
      addon.watchRef(watch);
      addon.write(fd, one);
      process.on('exit', () => console.log(calls, 'calls'));
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'caught call 1\ncaught call 2\n3 calls\n' });
  });

  it('ends as usual if nothing catches it', () => {
    const { status, output } = inChild(`
      const fd = addon.eventfd(1, 0x800);
      addon.watchRef(addon.watch(fd, () => { throw new Error('not caught'); }));
    `);
    expect(status).toBe(1);
    expect(output).toContain('Error: not caught');
  });

  it('may exit with watches open, also from inside a call', () => {
    const open = 'const fd = addon.eventfd(1, 0x800); for (let i = 0; i < 5; i += 1) ';
    expect(inChild(`${open} addon.watchRef(addon.watch(fd, () => {})); setTimeout(() => process.exit(3), 20);`).status).toBe(3);
    expect(inChild(`${open} addon.watchRef(addon.watch(fd, () => process.exit(4)));`).status).toBe(4);
  });
});

describe('a worker', () => {
  it('watches on its own loop', async () => {
    const seen = await inWorker(`
      const fd = addon.eventfd(0, 0x800);
      const watch = addon.watch(fd, () => {
        addon.read(fd, new Uint8Array(8));
        addon.watchStop(watch);
        addon.close(fd);
        parentPort.postMessage('called');
      });
      addon.watchRef(watch);
      addon.write(fd, one);
    `);
    expect(seen).toBe('called');
  });

  it('may end with watches open: by itself, by exit, or from outside', async () => {
    const start = held();
    const open = `
      const fd = addon.eventfd(0, 0x800);
      const watches = [0, 1, 2].map(() => addon.watch(fd, () => {}));
      addon.close(fd);
    `;
    await inWorker(open);
    await inWorker(`${open} addon.watchRef(watches[0]); addon.watchStop(watches[1]); process.exit(0);`);
    const running = worker(`${open} addon.watchRef(watches[0]); parentPort.postMessage('ready');`);
    await new Promise((resolve) => running.once('message', resolve));
    expect(await running.terminate()).toBe(1);
    await expectNothingHeldSince(start);
  });

  it('may be terminated in the middle of a call', () => {
    const { status, output } = inChild(`
      const { Worker } = require('node:worker_threads');
      const source = ${JSON.stringify(`
        const { parentPort } = require('node:worker_threads');
        const addon = require(process.argv[2]);
        addon.watchRef(addon.watch(addon.eventfd(1, 0x800), () => { parentPort.postMessage('in'); for (;;); }));
      `)};
      const worker = new Worker(source, { eval: true, argv: [${JSON.stringify(addonPath)}] });
      worker.once('message', () => setTimeout(() => worker.terminate().then((code) => console.log('terminated', code)), 50));
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'terminated 1\n' });
  });
});
