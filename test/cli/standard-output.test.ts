/** What is printed arrives: at readers that are slow, that go, and where there is no room. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const writeSync = vi.hoisted(() => vi.fn<(fd: number, bytes: Buffer, start: number) => number>());
vi.mock('node:fs', async (original) => ({ ...(await original<typeof import('node:fs')>()), writeSync }));

afterEach(() => {
  vi.restoreAllMocks();
  vi.resetModules();
  process.stdout.removeAllListeners('error');
});

function failing(code: string): never {
  throw Object.assign(new Error(code), { code });
}

it('is written until all of it is', async () => {
  const { print } = await import('../../lib/cli/standard-output.js');
  const written: string[] = [];
  writeSync.mockImplementation((_fd, bytes, start) => written.push(bytes.toString('utf8', start, start + 3)) && 3);
  print('abcdefghi');
  expect(written).toEqual(['abc', 'def', 'ghi']);
});

it('is left to the stream where the reader does not keep up, and so is all that follows', async () => {
  const { print } = await import('../../lib/cli/standard-output.js');
  const later: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => later.push(String(chunk)) > 0);
  writeSync
    .mockReset()
    .mockReturnValueOnce(4)
    .mockImplementation(() => failing('EAGAIN'));
  print('first rest');
  print('second');
  expect(later).toEqual(['t rest', 'second']);
  expect(writeSync).toHaveBeenCalledTimes(2);
});

it('ends the process where the reader is gone, as SIGPIPE does', async () => {
  const { print } = await import('../../lib/cli/standard-output.js');
  const exit = vi.spyOn(process, 'exit').mockImplementation((status) => failing(`exit ${status}`));
  writeSync.mockReset().mockImplementation(() => failing('EPIPE'));
  expect(() => print('text')).toThrow('exit 141');
  writeSync.mockImplementation(() => failing('EAGAIN'));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  print('text');
  expect(() => process.stdout.emit('error', Object.assign(new Error(), { code: 'EPIPE' }))).toThrow('exit 141');
  expect(() => process.stdout.emit('error', new Error('another'))).toThrow('another');
  expect(exit).toHaveBeenCalledTimes(2);
});

it('says that there is no room', () => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', '--version'], { cwd: root, stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
  expect([status, String(stderr)]).toEqual([1, 'vfio: ENOSPC: no space left on device, write\n']);
});
