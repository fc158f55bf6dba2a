// What the tests of the addon share. They call the addon's own exports, below the types of `kernel/native.ts`.
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { expect } from 'vitest';

const require = createRequire(import.meta.url);
export const root = path.resolve(import.meta.dirname, '../..');

/** The file under test: VFIO_ADDON, for the sanitizers' build, or the ordinary one. */
export const addonPath: string = process.env['VFIO_ADDON'] ? path.resolve(process.env['VFIO_ADDON']) : require('node-gyp-build').path(root);
// Its functions are called with wrong arguments on purpose, so they have no types here.
export const addon: any = require(addonPath);

export const sanitized = process.env['LD_PRELOAD']?.includes('asan') ?? false;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const READ_WRITE = PROT_READ | PROT_WRITE;
export const MAP_SHARED = 1;
export const ANONYMOUS = 0x22; // MAP_PRIVATE | MAP_ANONYMOUS
export const EFD_NONBLOCK = 0x800;
export const ENOENT = -2;
export const EBADF = -9;
export const EAGAIN = -11;
export const EINVAL = -22;
export const PAGE = 4096;

/** The error of an access that the bus refuses. */
export const fault = (offset: number): object => ({
  code: 'ERR_VFIO_BUS_FAULT',
  message: `The access at offset ${offset} faulted: memory decode is off or the device is gone`,
});

let files = 0;

/** An open, nameless file of `size` zero bytes whose pages can be mapped. */
export function scratchFile(size: number): number {
  const name = `/dev/shm/addon-test-${process.pid}-${(files += 1)}`;
  const fd = openSync(name, 'wx+');
  unlinkSync(name);
  ftruncateSync(fd, size);
  return fd;
}

export function close(...fds: number[]): void {
  for (const fd of fds) closeSync(fd);
}

/** The flags that `fd` is open with. */
export function modeOf(fd: number): number {
  return parseInt(/^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '', 8);
}

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Collects garbage, and lets its finalizers run: they take turns of the event loop. */
export async function collect(): Promise<void> {
  for (let i = 0; i < 4; i += 1) {
    gc();
    await turn();
  }
}

/** What the addon could leak: fds of its kinds, and the mapped areas of scratch files. */
export function held(): Record<string, number> {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the one that listed the folder
    }
  });
  return {
    eventfds: targets.filter((target) => target.includes('[eventfd]')).length,
    files: targets.filter((target) => target.includes('addon-test')).length,
    maps: readFileSync('/proc/self/maps', 'latin1').split('addon-test').length - 1,
  };
}

/** Fails until `held()` is what it was: workers and finalizers may need a moment. */
export async function expectNothingHeldSince(before: Record<string, number>): Promise<void> {
  for (let i = 0; i < 100 && JSON.stringify(held()) !== JSON.stringify(before); i += 1) await collect();
  expect(held()).toEqual(before);
}

const prelude = `
  const fs = require('node:fs');
  const addon = require(${JSON.stringify(addonPath)});
  function scratchFile(size) {
    const name = '/dev/shm/addon-test-' + process.pid + '-child-' + Math.random();
    const fd = fs.openSync(name, 'wx+');
    fs.unlinkSync(name);
    fs.ftruncateSync(fd, size);
    return fd;
  }
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
`;

export interface Ended {
  status: number | null;
  signal: string | null;
  output: string;
}

/** Runs `source` (CommonJS, with `addon`, `fs`, `scratchFile` and `one`) in a process of its own. */
export function inChild(source: string): Ended {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', prelude + source], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, signal, output: stdout + stderr };
}

/** The same in a worker of this process; it can `parentPort.postMessage` and ends by itself. */
export function worker(source: string): Worker {
  return new Worker(`const { parentPort } = require('node:worker_threads');${prelude}${source}`, { eval: true, execArgv: [] });
}

/** The first message of `source` in a worker, after the worker has ended. */
export async function inWorker(source: string): Promise<unknown> {
  const running = worker(source);
  return new Promise((resolve, reject) => {
    let message: unknown;
    running.on('message', (value) => (message = value));
    running.on('error', reject);
    running.on('exit', () => resolve(message));
  });
}
