/** `vfio read`, `write` and `dump`, on a simulated machine. */
import { mkdtempSync, readFileSync, rmSync, existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PCI_COMMAND } from '../../lib/abi/pci.js';
import { configName } from '../../lib/cli/registers/config-names.js';
import { decode } from '../../lib/cli/registers/open.js';
import { openDevice } from '../../lib/open.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const machine: MachineDescription = {
  devices: [
    { model: 'edu' },
    { model: 'nvme', driver: 'nvme', hostDriver: 'nvme' },
    { model: 'e1000e', address: '0000:01:00.0', driver: null },
  ],
};
const edu = '00:03.0';
const folder = mkdtempSync(join(tmpdir(), 'vfio-dump-'));
afterAll(() => rmSync(folder, { recursive: true }));

const out = async (...args: string[]): Promise<string> => {
  const said = await vfio(args, { machine });
  expect(said).toMatchObject({ status: 0, err: '' });
  return said.out;
};

describe('vfio read', () => {
  it('prints offset and value, as wide as the access', async () => {
    expect(await out('read', edu, 'bar0', '0')).toBe('0x00000  0x010000ed\n');
    expect(await out('read', edu, 'BAR0', '0x80', '--width', '64')).toBe('0x00080  0x0000000000000000\n');
    expect(await out('read', edu, '0', '0x00', '--width', '16')).toBe('0x00000  0x0000\n');
  });

  it('reads several, by a count or a range', async () => {
    const lines = '0x00000  0x010000ed\n0x00004  0x00000000\n';
    expect(await out('read', edu, 'bar0', '0', '--count', '2')).toBe(lines);
    expect(await out('read', edu, 'bar0', '0..8')).toBe(lines);
    expect(await out('read', edu, 'bar0', '0x0+0x8')).toBe(lines);
  });

  it('names the registers of configuration space', async () => {
    expect(await out('read', edu, 'config', '0..8', '--width', '16')).toBe(
      '0x00  0x1234  Vendor ID\n0x02  0x11e8  Device ID\n0x04  0x0103  Command\n0x06  0x0010  Status\n',
    );
  });

  it('says for programs which way it went', async () => {
    const values = [{ offset: 0, value: '0x010000ed' }];
    const said = { address: '0000:00:03.0', region: 'bar0', width: 32, values };
    expect((await vfio(['read', edu, 'bar0', '0', '--json'], { machine })).json).toEqual({ ...said, way: 'node' });
    expect((await vfio(['read', edu, 'bar0', '0', '--json', '--by', 'group'], { machine })).json).toEqual({ ...said, way: 'group' });
  });

  it('has configuration space from sysfs where VFIO does not have the device, or where that is asked for', async () => {
    expect((await vfio(['read', '00:04.0', 'config', '0', '--json'], { machine })).json).toEqual({
      address: '0000:00:04.0',
      region: 'config',
      way: 'sysfs',
      width: 32,
      values: [{ offset: 0, value: '0x00101b36', name: 'Device ID, Vendor ID' }],
    });
    expect((await vfio(['read', edu, 'config', '0', '--json', '--sysfs'], { machine })).json).toMatchObject({ way: 'sysfs' });
    expect((await vfio(['read', edu, 'config', '0', '--json'], { machine })).json).toMatchObject({ way: 'node' });
  });

  it('turns the decoding of addresses on where it is off, and says so', () => {
    using opened = openDevice(new Machine({ devices: [{ model: new Edu() }] }).kernel, edu);
    expect(decode(opened.device, 0)).toEqual([]);
    opened.device.config.write16(PCI_COMMAND, 0);
    expect(() => opened.device.region(0).mmio.read32(0)).toThrow();
    expect(decode(opened.device, 0)).toEqual([
      'the device did not decode its memory (Mem- in its command register); it does while this command has it open',
    ]);
    expect(opened.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
    expect(decode(opened.device, 7)).toEqual([]);
  });

  it('watches, and ends in time', async () => {
    const said = await vfio(['read', edu, 'bar0', '0..8', '--watch', '5', '--for', '0.03'], { machine });
    expect(said.out).toMatch(/^ +0\.\d{3} s {2}0x00000 {2}0x010000ed\n +0\.\d{3} s {2}0x00004 {2}0x00000000\n$/);
    const forPrograms = await vfio(['read', edu, 'bar0', '0', '--watch', '--for', '0.01', '--json'], { machine });
    expect(forPrograms.json).toEqual({ seconds: expect.any(Number) as number, offset: 0, value: '0x010000ed' });
  });

  it('watches until Ctrl-C', async () => {
    const interruption = new AbortController();
    const watching = vfio(['read', edu, 'bar0', '0', '--watch'], { machine, signal: interruption.signal });
    setTimeout(() => interruption.abort(), 300);
    expect(await watching).toMatchObject({ status: 0, err: '' });
  });
});

describe('vfio write', () => {
  it('writes, and says what', async () => {
    expect(await out('write', edu, 'bar0', '0x60', '1')).toBe('0x00060  0x00000001\n');
    expect(await out('write', edu, 'bar0', '0x80', '0x1', '0x2', '--width', '64', '--verify')).toBe(
      '0x00080  0x0000000000000001\n0x00088  0x0000000000000002\n',
    );
  });

  it('changes the bits of the mask alone', async () => {
    expect(await out('write', edu, 'config', '0x4', '0x2', '--width', '16', '--mask', '0x7', '--sysfs')).toBe('0x04  0x0103 -> 0x0102\n');
    const said = await vfio(['write', edu, 'config', '0x3c', '0x55', '--width', '8', '--mask', '0xff', '--verify', '--json'], { machine });
    expect(said.json).toEqual({
      address: '0000:00:03.0',
      region: 'config',
      way: 'node',
      width: 8,
      written: [{ offset: 0x3c, before: '0x0b', value: '0x55', after: '0x55' }],
    });
  });

  it('fails where another value comes back', async () => {
    // The liveness register of edu answers the complement.
    const { status, out, err } = await vfio(['write', edu, 'bar0', '4', '0xff', '--verify'], { machine });
    expect([status, out]).toEqual([1, '0x00004  0x000000ff\n']);
    expect(err).toBe('vfio: 0x00004 of bar0 was written as 0x000000ff and reads as 0xffffff00\n');
  });
});

describe('vfio dump', () => {
  it('prints bytes and characters, and lines like the last as one', async () => {
    const lines = (await out('dump', edu, 'config')).split('\n');
    expect(lines[0]).toBe('00: 34 12 e8 11 03 01 10 00 10 00 ff 00 00 00 00 00  4...............');
    expect(lines.slice(-3)).toEqual(['*', `f0: ${'00 '.repeat(16)} ${'.'.repeat(16)}`, '']);
    expect(await out('dump', edu, 'bar0', '0', '4')).toMatch(/^00000: ed 00 00 01 {36} {2}\.\.\.\.\n$/);
    expect(await out('dump', edu, 'bar0', '0..4')).toBe(await out('dump', edu, 'bar0', '0', '4'));
  });

  it('gives programs the bytes', async () => {
    expect((await vfio(['dump', edu, 'bar0', '0', '8', '--json'], { machine })).json).toEqual({
      address: '0000:00:03.0',
      region: 'bar0',
      way: 'node',
      offset: 0,
      length: 8,
      bytes: 'ed00000100000000',
    });
  });

  it('saves a region', async () => {
    const file = join(folder, 'bar0');
    expect(await out('dump', edu, 'bar0', '0..0x20000', '--out', file)).toBe(`131072 bytes of bar0 are in ${file}\n`);
    const bytes = readFileSync(file);
    expect([bytes.length, bytes.readUInt32LE(0)]).toEqual([1 << 17, 0x0100_00ed]);
  });

  it('leaves no part of one behind at Ctrl-C', async () => {
    const file = join(folder, 'part');
    writeFileSync(file, '');
    const signal = AbortSignal.abort();
    expect(await vfio(['dump', edu, 'bar0', '--out', file], { machine, signal })).toMatchObject({ status: 1, out: '' });
    expect(existsSync(file)).toBe(false);
  });
});

describe('what is wrong is said before anything is done', () => {
  it.each([
    [
      ['read', edu, 'bar7', '0'],
      "Expected one of bar0, bar1, bar2, bar3, bar4, bar5, rom, config, vga, or a number, for REGION but received 'bar7'",
    ],
    [['read', edu, 'bar0', 'x'], "Expected a number like 64 or 0x40 for OFFSET but received 'x'"],
    [['read', edu, 'bar0', '8..8'], "Expected a range that is not empty for OFFSET but received '8..8'"],
    [['read', edu, 'bar0', '0..8', '--count', '2'], 'Expected a range or --count, but received both'],
    [['read', edu, 'bar0', '0', '--count', '0'], 'Expected at least 1 for --count but received 0'],
    [['read', edu, 'bar0', '2'], 'Expected a multiple of 4 as offset of accesses of 32 bits but received 2'],
    [['read', edu, 'bar0', '0..6'], 'Expected a multiple of 4 as length of accesses of 32 bits but received 6'],
    [['read', edu, 'bar0', '0', '--width', '12'], 'Allowed choices are 8, 16, 32, 64'],
    [['read', edu, 'bar0', '0', '--for', '1'], '--for says how long --watch is to go on'],
    [['read', edu, 'bar0', '0', '--watch', '--for', '0'], 'Expected a number of seconds above 0'],
    [['read', edu, 'config', '0', '--width', '64'], 'Expected a width of 8, 16 or 32 bits for config but received 64'],
    [['read', edu, 'bar0', '0x100000'], 'Expected an offset with 4 bytes inside the 1048576 of bar0 but received 0x100000'],
    [['read', edu, 'bar0', '0', '--sysfs'], 'Only config is reached by --sysfs, and bar0 by VFIO alone'],
    [['read', 'nonsense', 'bar0', '0'], 'Expected a PCI address'],
    [['read', edu, '99', '0'], 'Expected a region below 9'],
    [['read', edu, 'bar0', '0x20000000000000'], 'Expected a number below 2^53'],
    [['write', edu, 'bar0', '0', '0x100000000'], "Expected VALUE to fit into 32 bits but received '0x100000000'"],
    [['write', edu, 'bar0', '0', '0x10', '--mask', '0xf'], 'Expected no bits of VALUE outside the mask but received 0x00000010'],
    [['write', edu, 'bar0', '0'], "missing required argument 'value'"],
    [['dump', edu, 'bar0', '0..8', '8'], 'Expected a range or LENGTH, but received both'],
    [['dump', edu, 'bar0', '0', '0'], 'Expected at least 1 for LENGTH but received 0'],
    [['dump', edu, 'bar0', '0x100000'], 'Expected an offset with 4 bytes inside'],
  ])('%s', async (args, words) => {
    const { status, out, err } = await vfio(args, { machine });
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it.each([
    [['read', edu, 'bar1', '0'], '0000:00:03.0 has no bar1; it has bar0, config'],
    [['read', edu, 'vga', '0'], '0000:00:03.0 has no vga; it has bar0, config'],
    [['read', '00:04.0', 'bar0', '0'], 'Device 0000:00:04.0 is with the driver nvme. Give it to VFIO first: vfio bind 0000:00:04.0'],
    [['read', '01:00.0', 'bar0', '0'], 'Device 0000:01:00.0 has no driver. Give it to VFIO first: vfio bind 0000:01:00.0'],
    [['write', '00:04.0', 'config', '0', '0'], 'Give it to VFIO first'],
    [['read', '00:1f.0', 'config', '0'], 'ENOENT'],
    [['read', edu, 'bar0', '0', '--vf-token', 'x'], 'vfToken'],
    [['dump', edu, 'bar0', '--out', '/nowhere/file'], 'ENOENT'],
  ])('%s fails', async (args, words) => {
    const { status, out, err } = await vfio(args, { machine });
    expect([status, out]).toEqual([1, '']);
    expect(err).toContain(words);
  });

  it('a device without an IOMMU is opened only by who wants that', async () => {
    const none: MachineDescription = { iommu: 'none', unsafeNoIommu: true, devices: [{ model: 'edu' }] };
    expect(await vfio(['read', edu, 'bar0', '0'], { machine: none })).toMatchObject({
      status: 1,
      err: expect.stringContaining('say so: --unsafe-no-iommu') as string,
    });
    expect((await vfio(['read', edu, 'bar0', '0', '--unsafe-no-iommu'], { machine: none })).out).toBe('0x00000  0x010000ed\n');
  });
});

it('names of configuration space are those of the kind of header, from the highest byte on', () => {
  expect(configName(0x18, 4, 1)).toBe('Secondary Latency Timer, Subordinate Bus Number, Secondary Bus Number, Primary Bus Number');
  expect([configName(0x18, 4, 0x80), configName(0x0a, 1, 0), configName(0x40, 4, 0)]).toEqual(['Base Address 2', 'Class Code', '']);
});
