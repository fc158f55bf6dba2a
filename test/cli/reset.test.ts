/** `vfio reset`, on a simulated machine. */
import { describe, expect, it } from 'vitest';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const machine: MachineDescription = {
  devices: [
    { model: 'edu' },
    { model: 'nvme', driver: 'nvme', hostDriver: 'nvme' },
    { model: 'e1000e', address: '0000:01:00.0', group: 11 },
    { model: 'e1000e', address: '0000:02:00.0', group: 12 },
    { model: 'edu', address: '0000:02:00.1', group: 13, driver: null },
    { model: 'e1000e', address: '0000:03:00.0', group: 14 },
    { model: 'edu', address: '0000:03:00.1', group: 15 },
  ],
};

describe('vfio reset', () => {
  it('resets a device by the way that sysfs names', async () => {
    expect(await vfio(['reset', '01:00.0'], { machine })).toMatchObject({
      status: 0,
      out: '0000:01:00.0 is reset by pm, and answers\n',
      err: '',
    });
    expect((await vfio(['reset', '01:00.0', '--json'], { machine })).json).toEqual({
      address: '0000:01:00.0',
      methods: ['pm', 'bus'],
      done: true,
    });
  });

  it('only says how, if that is asked for', async () => {
    expect(await vfio(['reset', '00:04.0', '--dry-run'], { machine })).toMatchObject({
      status: 0,
      out: '0000:00:04.0 would be reset by flr\n',
    });
    expect(await vfio(['reset', '00:03.0', '--dry-run'], { machine })).toMatchObject({
      status: 1,
      out: '0000:00:03.0 can not be reset alone: sysfs has no reset_method of it\n',
    });
  });

  it.each([
    [['00:03.0'], 1, '0000:00:03.0 can not be reset alone; --bus resets its bus'],
    [['00:04.0'], 1, 'Device 0000:00:04.0 is with the driver nvme. Give it to VFIO first: vfio bind 0000:00:04.0'],
    [['00:1f.0'], 1, 'ENOENT'],
    [['00:03.0', '--bus'], 1, '0000:00:03.0 is on a root bus: no bridge is there that could reset it'],
    [['01:00.0', '--bus', '--by', 'node'], 2, '--bus goes with --by group and compatibility'],
    [['02:00.0', '--bus'], 3, '0000:02:00.1  group 13  no driver\nGive it to VFIO first: vfio bind 0000:02:00.1'],
  ])('%s is %s', async (args, status, words) => {
    const said = await vfio(['reset', ...args], { machine });
    expect([said.status, said.out]).toEqual([status, '']);
    expect(said.err).toContain(words);
  });

  it('resets a bus with all that is on it', async () => {
    for (const by of [[], ['--by', 'compatibility']]) {
      expect(await vfio(['reset', '03:00.0', '--bus', ...by], { machine })).toMatchObject({
        status: 0,
        out: 'Bus 0000:03 is reset, and all of it answers:\n  0000:03:00.0  group 14  vfio-pci\n  0000:03:00.1  group 15  vfio-pci\n',
        err: '',
      });
    }
    expect((await vfio(['reset', '01:00.0', '--bus', '--json'], { machine })).json).toEqual({
      address: '0000:01:00.0',
      bus: '0000:01',
      devices: [{ address: '0000:01:00.0', group: 11, driver: 'vfio-pci' }],
      done: true,
    });
  });

  it('says what a reset of the bus would take along', async () => {
    expect(await vfio(['reset', '02:00.0', '--bus', '--dry-run'], { machine })).toMatchObject({
      status: 1,
      out: 'A reset of bus 0000:02 would take along:\n  0000:02:00.0  group 12  vfio-pci\n  0000:02:00.1  group 13  no driver\n',
    });
    expect((await vfio(['reset', '03:00.0', '--bus', '--dry-run', '--json'], { machine })).json).toMatchObject({ done: false });
  });
});
