/** `vfio trace` and `vfio replay` as they are typed: each program is a process of its own. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { replay } from '../../lib/index.js';
import { root } from '../support/root.js';
import { vfio } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'vfio trace '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);
writeFileSync(file('machine.json'), JSON.stringify({ devices: [{ model: 'edu' }] }));

const edu = [process.execPath, '--import', 'tsx', 'examples/edu.ts', '--real'];
const program = (name: string): string[] => [process.execPath, join('test/cli/programs', `${name}.mjs`)];
const recording = 'test/golden/recordings/edu.ndjson';
/** What the example prints, wherever it runs. */
const printed = [
  'identification  0x10000ed',
  'liveness        0xedcba987, the complement of 0x12345678',
  'interrupt       0x1: 10! = 3628800',
  'interrupt       0x100: 2048 bytes into the device',
  'interrupt       0x100: 2048 bytes from the device',
  'verification    every byte came back',
  '',
].join('\n');

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Types `vfio ARGS`; `ready` is told when something is printed. */
async function typed(args: readonly string[], ready?: (kill: (signal: NodeJS.Signals) => void) => void): Promise<Ended> {
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => {
    out += String(data);
    ready?.((signal) => child.kill(signal));
  });
  child.stderr.on('data', (data) => (err += String(data)));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, out, err })));
}

const sim = ['--sim', file('machine.json')];

describe('vfio trace', { timeout: 60_000 }, () => {
  it('shows calls in words, and register accesses, beside what the program prints', async () => {
    const { status, out, err } = await typed([...sim, 'trace', '--registers', '--', ...edu]);
    expect([status, out]).toEqual([0, printed]);
    const time = String.raw`\d+\.\d{6}`;
    for (const line of [
      String.raw`open\("/dev/iommu", RDWR\) = \d+`,
      String.raw`ioctl\(\d+, VFIO_DEVICE_GET_INFO, \{argsz=24, .*flags=PCI, .*\}\) = 0`,
      String.raw`readFile\("/sys/kernel/iommu_groups/0/name"\) = -1 ENOENT`,
      String.raw`read32\(\d+ region 0, 0x0\) = 0x10000ed`,
      String.raw`write32\(\d+ region 0, 0x8, 0xa\)`,
    ])
      expect(err).toMatch(new RegExp(`^ +${time} ${line} <${time}>$`, 'm'));
  });

  it('shows only what is asked for; as JSON', async () => {
    const { status, out, err } = await typed([...sim, 'trace', '--json', '--only', 'IOMMU_IOAS_MAP,eventfd', '--', ...edu]);
    expect([status, out]).toEqual([0, printed]);
    const lines = err
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ name, request }) => request ?? name)).toEqual(['eventfd', 'IOMMU_IOAS_MAP', 'IOMMU_IOAS_MAP']);
    expect(lines[1]).toMatchObject({ kind: 'iommufd', result: 0, before: expect.stringMatching(/^28000000/) as string });
  });

  it('records what is replayed, in process too, and changes nothing', async () => {
    const out = file('edu.ndjson');
    expect(await typed([...sim, 'trace', '--quiet', '--out', out, '--', ...edu])).toEqual({ status: 0, out: printed, err: '' });
    expect(await typed(['replay', out, '--', ...edu])).toEqual({ status: 0, out: printed, err: '' });
    expect(replay(readFileSync(out, 'utf8')).left).toBeGreaterThan(50);
  });

  it('takes in what a command of vfio reads, without a machine of its own', async () => {
    const out = file('list.ndjson');
    const list = [process.execPath, 'dist/cli/vfio.cjs', 'list', '--json'];
    const traced = await typed([...sim, 'trace', '--only', 'readlink', '--out', out, '--', ...list]);
    const devices = JSON.parse(traced.out) as { vendor: number }[];
    expect([traced.status, devices.map(({ vendor }) => vendor)]).toEqual([0, [0x1234]]);
    expect(traced.err).toMatch(/readlink\("\/sys\/bus\/pci\/devices\/\S+\/driver"\)/);
    // Without a pci.ids on this machine it says so.
    const err = expect.stringMatching(/^(vfio: there are numbers instead of names.*\n)?$/) as string;
    expect(await typed(['replay', out, '--', ...list])).toEqual({ status: 0, out: traced.out, err });
  });

  it('tells threads and processes apart, and replays each', async () => {
    const out = file('threads.ndjson');
    const traced = await typed([...sim, 'trace', '--only', 'access', '--out', out, '--', ...program('threads')]);
    expect([traced.status, traced.out]).toEqual([0, '0\n']);
    expect(traced.err).toMatch(/^ +\S+ access\("\/sys"\)/);
    for (const path of ['/sys/bus', '/sys/bus/pci'])
      expect(traced.err).toMatch(new RegExp(`^\\[\\d+/\\d+\\] .*access\\("${path}"\\)`, 'm'));
    expect(traced.err).toMatch(/^\[\d+\] .*access\("\/sys\/class"\)/m);
    expect(readFileSync(out, 'utf8')).toContain('{"by":4,"call":"access","path":"/sys/class"');
    expect(await typed(['replay', out, '--', ...program('threads')])).toEqual({ status: 0, out: '0\n', err: '' });
  });

  it('passes signals on, ends as the program does, and leaves a whole recording', async () => {
    const out = file('signals.ndjson');
    const ended = await typed([...sim, 'trace', '--quiet', '--out', out, '--', ...program('signals')], (kill) => kill('SIGTERM'));
    expect(ended).toEqual({ status: 7, out: 'ready\n', err: '' });
    expect(replay(readFileSync(out, 'utf8')).left).toBe(2);
    const killed = await typed([...sim, 'trace', '--quiet', '--', 'sh', '-c', 'kill -9 $$']);
    expect(killed.status).toBe(137);
  });

  it('says so when the program asked for no kernel', async () => {
    const ended = await typed([...sim, 'trace', '--', process.execPath, '-e', 'console.log(1)']);
    expect(ended).toEqual({
      status: 0,
      out: '1\n',
      err: 'vfio: nothing asked native() for a kernel: the program has a simulated one, or none\n',
    });
    expect((await typed(['trace', '--', 'no-such-program'])).err).not.toContain('native()');
  });

  it.each([
    [['trace', '--only', 'bogus', '--', 'true'], 2, '--only bogus: expected a call, like pread, or a request'],
    [['trace', '--out', '/nowhere/file', '--', 'true'], 2, '--out /nowhere/file: ENOENT'],
    [['--sim', '/nowhere', 'trace', '--', 'true'], 2, '--sim /nowhere: ENOENT'],
    [['trace'], 2, "missing required argument 'command'"],
    [['trace', '--', '/nowhere/program'], 127, '/nowhere/program: there is no such command'],
    [['trace', '--', '/etc/passwd'], 126, '/etc/passwd: it cannot be run'],
    [['replay', '/nowhere', '--', 'true'], 2, '/nowhere: ENOENT'],
    [['replay', 'package.json', '--', 'true'], 2, 'package.json: Line 1 of the recording is no JSON'],
    [['replay', recording], 2, "missing required argument 'command'"],
    [['replay', '--sim', '/nowhere', recording, '--', 'true'], 2, '--sim: a recording needs no machine'],
  ])('%j ends with %d', async (args, status, words) => {
    const said = await vfio(args);
    expect([said.status, said.out]).toEqual([status, '']);
    expect(said.err).toContain(words);
  });
});

describe('vfio replay', { timeout: 60_000 }, () => {
  it('is the example on what a real kernel and device answered', async () => {
    // By way of two more processes, which are none of its own.
    expect(await typed(['replay', recording, '--', 'npx', 'tsx', 'examples/edu.ts', '--real'])).toEqual({
      status: 0,
      out: printed,
      err: '',
    });
  });

  it('says where the program departs, and where in it that is', async () => {
    const { status, out, err } = await typed(['replay', recording, '--', ...edu, '--by', 'group']);
    expect([status, out]).toEqual([4, '']);
    const report = err.slice(err.indexOf('vfio: '));
    expect(report).toMatch(
      /^vfio: The program departs from the recording at entry \d+: recorded was open\("\/dev\/iommu", RDWR\) = \d+; the program made open\("\/dev\/vfio\/vfio", RDWR\)\n/,
    );
    expect(report).toMatch(/^ +at .*examples\/edu\.ts/m);
    expect(report).not.toContain('recording/');
  });

  it('notices what the program takes no notice of', async () => {
    const out = file('swallow.ndjson');
    await typed([...sim, 'trace', '--quiet', '--out', out, '--', ...program('swallow')]);
    expect(await typed(['replay', out, '--', ...program('swallow')])).toEqual({ status: 0, out: '0\n', err: '' });
    const more = await typed(['replay', out, '--', ...program('swallow'), 'more']);
    expect(more).toMatchObject({ status: 4, out: '0\nERR_VFIO_DEPARTED\n' });
    expect(more.err).toContain('the recording is at its end; the program made access("/sys/class")');
    expect(more.err).toContain('swallow.mjs');
  });

  it('notices a program that ends early; as JSON', async () => {
    expect(await typed(['replay', recording, '--', 'true'])).toEqual({
      status: 4,
      out: '',
      err: expect.stringMatching(/^vfio: The program ended before the recording does: \d+ recorded calls were not made\n$/) as string,
    });
    const { status, err } = await typed(['replay', '--json', recording, '--', 'false']);
    expect([status, JSON.parse(err)]).toEqual([4, { status: 1, departures: [{ left: expect.any(Number) as number }] }]);
  });
});
