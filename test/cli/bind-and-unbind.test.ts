/** `vfio unbind` after `vfio bind`, with what the one leaves for the other in a folder of the test's. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { bind } from '../../lib/cli/bind/bind.js';
import { unbind } from '../../lib/cli/bind/unbind.js';
import { Context } from '../../lib/cli/context.js';
import type { Files } from '../../lib/kernel/kernel.js';
import { bindDriver, findDevice } from '../../lib/pci/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const place = vi.hoisted(() => ({ path: '' }));
vi.mock('../../lib/cli/bind/saved-bindings.js', async (original) => {
  const actual = await original<typeof import('../../lib/cli/bind/saved-bindings.js')>();
  return { ...actual, savedBindings: (_context: Context, files: Files) => new actual.SavedBindings(files, place.path) };
});

const address = '0000:00:03.0';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-saved-'));
  place.path = join(folder, 'bindings.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

class OnMachine extends Context {
  // The driver it has is not the one that the kernel would pick.
  readonly machine = new Machine({
    devices: [{ model: new Edu(), driver: 'uio', hostDriver: 'edu', group: 1 }],
    files: { '/sys/bus/pci/drivers/uio/new_id': '' },
  });
  readonly said = { out: '', err: '' };

  constructor() {
    const { signal } = new AbortController();
    super({ write: (text) => void (this.said.out += text), note: (text) => void (this.said.err += text), interactive: false, signal }, {});
  }

  override files(): Promise<Files> {
    return Promise.resolve(this.machine.kernel.files);
  }

  get driver(): string | undefined {
    return findDevice(this.machine.kernel, address).driver;
  }

  get override(): string {
    return new TextDecoder()
      .decode(this.machine.kernel.files.readFile(`/sys/bus/pci/devices/${address}/driver_override`) as Uint8Array)
      .trim();
  }
}

const toVfio = { driver: 'vfio-pci' };

it('a device goes back to the driver and the override that it had, not to the ones the kernel would pick', async () => {
  const context = new OnMachine();
  context.machine.kernel.files.writeFile(`/sys/bus/pci/devices/${address}/driver_override`, new TextEncoder().encode('uio'));
  await bind(context, toVfio, [address]);
  context.said.out = '';
  await unbind(context, {}, [address]);
  expect(context.said.out).toBe(`${address} (1234:11e8): vfio-pci -> uio\n`);
  expect([context.driver, context.override]).toEqual(['uio', 'uio']);
});

it('one that had no driver goes to none', async () => {
  const context = new OnMachine();
  await unbind(context, { none: true }, [address]);
  await bind(context, toVfio, [address]);
  await unbind(context, {}, [address]);
  expect(context.driver).toBeUndefined();
});

it('a driver that is not loaded any more is said, and nothing is done', async () => {
  const context = new OnMachine();
  await bind(context, toVfio, [address]);
  writeFileSync(place.path, readFileSync(place.path, 'utf8').replace('"uio"', '"gone"'));
  await expect(unbind(context, {}, [address])).rejects.toThrow('There is no driver gone');
  expect(context.driver).toBe('vfio-pci');
});

it('what failed is not remembered, and has the driver that it had', async () => {
  const context = new OnMachine();
  const { files } = context.machine.kernel;
  vi.spyOn(files, 'chown').mockReturnValue(-1);
  await expect(bind(context, { ...toVfio, owner: '1000' }, [address])).rejects.toThrow('EPERM');
  expect([context.driver, existsSync(place.path)]).toEqual(['uio', false]);
});

it('where nothing can be written, devices are bound all the same, and it is said', async () => {
  const context = new OnMachine();
  writeFileSync(join(folder, 'file'), '');
  place.path = join(folder, 'file', 'bindings.json');
  await bind(context, toVfio, [address]);
  expect(context.driver).toBe('vfio-pci');
  expect(context.said.err).toMatch(/^What the devices were cannot be remembered for 'vfio unbind': ENOTDIR/);
});

it('what cannot be read is said, and the kernel picks', async () => {
  const context = new OnMachine();
  bindDriver(context.machine.kernel, address);
  writeFileSync(place.path, 'nonsense');
  await unbind(context, {}, [address]);
  expect(context.said.err).toMatch(/^What 'vfio bind' remembered is of no use: /);
  expect(context.driver).toBe('edu');
});
