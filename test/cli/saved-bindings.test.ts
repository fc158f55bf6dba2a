/** What `vfio bind` leaves for `vfio unbind`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toDriver } from '../../lib/cli/bind/plan.js';
import { SavedBindings } from '../../lib/cli/bind/saved-bindings.js';
import { bindDriver, findDevice } from '../../lib/pci/index.js';
import { Edu, Machine, Nvme } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const machineOf = (boot: string, model = new Edu() as Edu | Nvme): Machine =>
  new Machine({ devices: [{ model, driver: 'edu', hostDriver: 'edu' }], files: { '/proc/sys/kernel/random/boot_id': `${boot}\n` } });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-saved-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const path = (): string => join(folder, 'deep', 'bindings.json');

/** A machine whose device was bound, and remembered. */
function bound(): { machine: Machine; takeBack: () => void } {
  const machine = machineOf('today');
  const { kernel } = machine;
  const takeBack = new SavedBindings(kernel.files, path()).remember([toDriver(kernel, findDevice(kernel, address), 'vfio-pci')]);
  bindDriver(kernel, address);
  return { machine, takeBack };
}

const placeOn = ({ kernel }: Machine): unknown => new SavedBindings(kernel.files, path()).placeOf(findDevice(kernel, address));

describe('what devices were', () => {
  it('is remembered', () => {
    expect(placeOn(bound().machine)).toEqual({ driver: 'edu', override: undefined });
    expect(JSON.parse(readFileSync(path(), 'utf8'))).toEqual({
      boot: 'today',
      devices: { [address]: { vendor: 0x1234, device: 0x11e8, driver: 'edu', override: null, to: 'vfio-pci' } },
    });
  });

  it('through several moves, of the first', () => {
    const { machine } = bound();
    const { kernel } = machine;
    new SavedBindings(kernel.files, path()).remember([toDriver(kernel, findDevice(kernel, address), 'other-vfio-pci')]);
    bindDriver(kernel, address, 'vfio-pci');
    expect(JSON.parse(readFileSync(path(), 'utf8'))).toMatchObject({ devices: { [address]: { driver: 'edu', to: 'other-vfio-pci' } } });
  });

  it('is nothing after another boot, of another device, or of one that somebody else moved', () => {
    const { machine } = bound();
    const elsewhere = machineOf('tomorrow');
    bindDriver(elsewhere.kernel, address);
    const other = machineOf('today', new Nvme());
    bindDriver(other.kernel, address);
    expect([placeOn(elsewhere), placeOn(other), placeOn(machineOf('today'))]).toEqual([undefined, undefined, undefined]);
    expect(placeOn(machine)).toBeDefined();
  });

  it('is forgotten when it goes back, and remembered again when that fails', () => {
    const { machine } = bound();
    const forgetting = new SavedBindings(machine.kernel.files, path()).forget([address]);
    expect(placeOn(machine)).toBeUndefined();
    forgetting();
    expect(placeOn(machine)).toBeDefined();
  });

  it('leaves nothing when binding fails', () => {
    const { machine, takeBack } = bound();
    takeBack();
    expect(placeOn(machine)).toBeUndefined();
    new SavedBindings(machine.kernel.files, path()).forget([address])();
    expect(() => readFileSync(path())).toThrow('ENOENT');
  });

  it('is an error for a file of something else', () => {
    bound();
    writeFileSync(path(), 'nonsense');
    expect(() => new SavedBindings(machineOf('today').kernel.files, path())).toThrow(SyntaxError);
  });
});
