import { afterAll, describe, expect, it } from 'vitest';
import { addon, addonPath, close, EBADF, expectNothingHeldSince, held, inChild, inWorker, scratchFile } from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const FIONREAD = 0x541b;
const ENOTTY = -25;

describe('ioctlAsync', () => {
  it('resolves with the result, or -errno', async () => {
    const fd = scratchFile(100);
    const bytes = new Uint8Array(8);
    expect(await addon.ioctlAsync(fd, FIONREAD, bytes.subarray(4))).toBe(0);
    expect([...bytes]).toEqual([0, 0, 0, 0, 100, 0, 0, 0]);
    expect(await addon.ioctlAsync(fd, 0xdeadbeef, bytes)).toBe(ENOTTY);
    expect(await addon.ioctlAsync(0x7fff_ffff, FIONREAD, bytes)).toBe(EBADF);
    expect(await addon.ioctlAsync(fd, FIONREAD, bytes, 0x7fff_ffff)).toBe(EBADF);
    close(fd);
  });

  it('takes only what is a system call', () => {
    const bytes = new Uint8Array(8);
    expect(() => addon.ioctlAsync(-1, 1, bytes)).toThrow(RangeError);
    expect(() => addon.ioctlAsync(0, 1)).toThrow('Expected a Uint8Array for argument but received undefined');
    expect(() => addon.ioctlAsync(0, 1, 5)).toThrow(TypeError);
    expect(() => addon.ioctlAsync(0, 1, bytes, '1')).toThrow('for holding');
  });

  it('works in a worker', async () => {
    const left = await inWorker(`
      const bytes = new Uint8Array(4);
      addon.ioctlAsync(scratchFile(77), ${FIONREAD}, bytes).then(() => { parentPort.postMessage(bytes[0]); process.exit(); });
    `);
    expect(left).toBe(77);
  });

  // All threads of the pool are kept busy until the worker is ending, which waits for its call.
  it.each(['terminate()', 'process.exit()'])('a worker may end meanwhile, by %s', (end) => {
    const { status, output } = inChild(`
      const { Worker } = require('node:worker_threads');
      const blocked = Array.from({ length: 4 }, () => addon.eventfd(0, 0));
      for (const fd of blocked) fs.read(fd, new Uint8Array(8), () => {});
      const links = () => fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } });
      const files = () => links().filter((link) => link.includes('addon-test')).length;
      const fd = scratchFile(100);
      const source = ${JSON.stringify(`
        const { parentPort, workerData } = require('node:worker_threads');
        const addon = require(workerData.addon);
        addon.ioctlAsync(workerData.fd, ${FIONREAD}, new Uint8Array(4)).then(() => console.log('never'));
        parentPort.postMessage('under way');
      `)} + ${JSON.stringify(end === 'process.exit()' ? 'process.exit();' : '')};
      const worker = new Worker(source, { eval: true, workerData: { addon: ${JSON.stringify(addonPath)}, fd } });
      worker.once('message', () => {
        worker.terminate();
        setTimeout(() => blocked.forEach((fd) => addon.write(fd, one)), 100);
      });
      worker.once('exit', () => setTimeout(() => console.log('files', files()), 50));
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'files 1\n' });
  });
});
