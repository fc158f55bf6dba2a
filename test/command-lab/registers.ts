/** `vfio read`, `write`, `dump`, `irq` and `reset`, on devices that nobody here wrote. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { findDevices, native } from 'vfio';
import { vfio } from '../cli/support.js';

// A command takes seconds on an emulated processor.
vi.setConfig({ testTimeout: 120_000 });

const addressOf = (vendor: number, device: number): string => findDevices(native(), { vendor, device })[0]?.address ?? 'missing';
const edu = addressOf(0x1234, 0x11e8);
const card = addressOf(0x8086, 0x10d3);
/** Registers that VFIO shows as they are: ids, class, kind of header, where capabilities begin. */
const identity = [0x00, 0x02, 0x08, 0x0a, 0x0e, 0x2c, 0x2e, 0x34];
const config = (address: string): Buffer => readFileSync(`/sys/bus/pci/devices/${address}/config`);

/** What it prints with --json. */
async function json<T>(...args: string[]): Promise<T> {
  const said = await vfio([...args, '--json']);
  expect(said).toMatchObject({ status: 0, err: expect.not.stringContaining('error') as string });
  return said.json as T;
}

describe('vfio read, write and dump', () => {
  it('reach the registers of a device, by each way', async () => {
    for (const by of ['node', 'group', 'compatibility'])
      expect(await json('read', edu, 'bar0', '0', '--by', by)).toMatchObject({ way: by, values: [{ value: '0x010000ed' }] });
  });

  it('see what a register makes of what is written', async () => {
    const { status, err } = await vfio(['write', edu, 'bar0', '4', '0x12345678', '--verify']);
    expect([status, err]).toEqual([1, 'vfio: 0x00004 of bar0 was written as 0x12345678 and reads as 0xedcba987\n']);
  });

  it('find in configuration space what sysfs has, by VFIO and by sysfs', async () => {
    for (const address of [edu, card]) {
      const real = config(address);
      const { bytes } = await json<{ bytes: string }>('dump', address, 'config', '--sysfs');
      expect(bytes).toBe(real.toString('hex'));
      const { values } = await json<{ values: { offset: number; value: string }[] }>('read', address, 'config', '0..0x40', '--width', '16');
      for (const at of identity)
        expect(values).toContainEqual(
          expect.objectContaining({ offset: at, value: `0x${real.readUInt16LE(at).toString(16).padStart(4, '0')}` }),
        );
    }
  });

  it('write configuration space past VFIO', async () => {
    const before = config(edu).readUInt8(0x3c);
    const write = (value: number): Promise<unknown> =>
      json('write', edu, 'config', '0x3c', String(value), '--width', '8', '--sysfs', '--verify');
    expect(await write(before ^ 1)).toMatchObject({ way: 'sysfs' });
    expect(config(edu).readUInt8(0x3c)).toBe(before ^ 1);
    await write(before);
  });

  it('read a region that is mapped, and one that is not', async () => {
    const { bytes } = await json<{ bytes: string }>('dump', card, 'bar0', '0', '64');
    expect(bytes).toHaveLength(128);
    expect(await json('read', card, 'bar2', '0')).toMatchObject({ values: [{ offset: 0 }] });
    expect(await vfio(['read', edu, 'bar1', '0'])).toMatchObject({
      status: 1,
      err: expect.stringContaining('has no bar1; it has bar0') as string,
    });
  });
});

describe('vfio irq', () => {
  it('has the kernel signal vectors of each kind', async () => {
    for (const [address, kind] of [
      [edu, 'msi'],
      [edu, 'intx'],
      [card, 'msix'],
      [card, 'req'],
    ] as const) {
      const { vectors } = await json<{ vectors: { came: boolean }[] }>('irq', address, '--loopback', '--kind', kind);
      expect([kind, vectors.every(({ came }) => came)]).toEqual([kind, true]);
    }
  });

  it('waits for what a register makes a device do', async () => {
    for (const kind of ['msi', 'intx']) {
      const said = await vfio(['irq', edu, '--kind', kind, '--write', 'bar0', '0x60', '1', '--count', '1', '--for', '10']);
      expect([kind, said.status, said.out]).toEqual([kind, 0, expect.stringMatching(/vector 0 {2}\d+ interrupts?/)]);
    }
  });
});

describe('vfio reset', () => {
  it('resets a device, and a bus with all that is on it', async () => {
    const { methods } = await json<{ methods: string[] }>('reset', card);
    expect(methods.join(' ')).toBe(readFileSync(`/sys/bus/pci/devices/${card}/reset_method`, 'utf8').trim());
    for (const by of ['group', 'compatibility'])
      expect(await json('reset', card, '--bus', '--by', by)).toMatchObject({
        done: true,
        devices: [{ address: card, driver: 'vfio-pci' }],
      });
    expect(await json('reset', card, '--bus', '--dry-run')).toMatchObject({ done: false, devices: [{ address: card }] });
  });

  it('says what can not be reset', async () => {
    expect((await vfio(['reset', edu])).err).toContain('can not be reset alone');
    expect((await vfio(['reset', edu, '--bus'])).err).toContain('is on a root bus');
  });
});
