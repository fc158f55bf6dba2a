/** `vfio bind` and `vfio unbind` on simulated machines. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bind, type BindOptions } from '../../lib/cli/bind/bind.js';
import { unbind, type UnbindOptions } from '../../lib/cli/bind/unbind.js';
import { Context } from '../../lib/cli/context.js';
import type { Files } from '../../lib/kernel/kernel.js';
import { readOverride } from '../../lib/pci/driver.js';
import { findDevice } from '../../lib/pci/topology.js';
import { parseMachine, type Machine, type MachineDescription, type PlainFile } from '../../lib/sim/index.js';
import { vfio } from './support.js';

const [drive, card, edu] = ['0000:01:00.0', '0000:01:00.1', '0000:02:00.0'];
const lasts = 'This lasts until the next boot; with --persistent, longer.\n';
const systemFiles = {
  '/etc/passwd': 'root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n',
  '/etc/group': 'root:x:0:\nkvm:x:104:\n',
};

/** A drive and a card in one group, and an edu in its own that VFIO has. */
function description(files: Readonly<Record<string, PlainFile>> = {}, more: Partial<MachineDescription> = {}): MachineDescription {
  return {
    kernel: '6.12',
    iommu: 'intel',
    devices: [
      { model: 'nvme', driver: 'nvme', hostDriver: 'nvme', group: 1, address: drive },
      { model: 'e1000e', driver: 'e1000e', hostDriver: 'e1000e', group: 1, address: card },
      { model: 'edu', driver: 'vfio-pci', hostDriver: 'edu', group: 2, address: edu },
    ],
    files: { ...systemFiles, ...files },
    ...more,
  };
}

const folder = (address: string): string => `/sys/devices/pci0000:00/${address}`;
/** The drive has a disk, and that is used for swapping. */
const swapping = {
  [`${folder(drive)}/nvme/nvme0/nvme0n1/subsystem`]: { link: '../../../../../class/block' },
  [`${folder(drive)}/nvme/nvme0/nvme0n1/uevent`]: 'DEVNAME=nvme0n1\n',
  '/proc/swaps': 'Filename\tType\n/dev/nvme0n1 partition\n',
};

/** A machine that outlives a command, to look what became of it. */
class OnMachine extends Context {
  readonly machine: Machine;
  readonly said = { out: '', err: '' };

  constructor(machine: Machine, signal = new AbortController().signal) {
    super(
      { write: (text) => void (this.said.out += text), note: (text) => void (this.said.err += text), interactive: false, signal },
      { sim: 'a machine' },
    );
    this.machine = machine;
  }

  override files(): Promise<Files> {
    return Promise.resolve(this.machine.kernel.files);
  }

  bind(names: readonly string[], options: Partial<BindOptions> = {}): Promise<void> {
    return bind(this, { driver: 'vfio-pci', ...options }, names);
  }

  unbind(names: readonly string[], options: UnbindOptions = {}): Promise<void> {
    return unbind(this, options, names);
  }

  stateOf(address: string): string {
    const override = readOverride(this.machine.kernel, address);
    return `${findDevice(this.machine.kernel, address).driver ?? 'none'}${override === undefined ? '' : ` by ${override}`}`;
  }
}

const on = (files: Readonly<Record<string, PlainFile>> = {}, more: Partial<MachineDescription> = {}): OnMachine =>
  new OnMachine(parseMachine(JSON.stringify(description(files, more))));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vfio-root-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
  vi.unstubAllEnvs();
});
const ruleOf = (address: string): string => join(root, `etc/udev/rules.d/70-vfio-${address}.rules`);

describe('vfio bind', () => {
  it('moves devices, and says from where to where', async () => {
    const machine = description();
    expect(await vfio(['bind', drive, '1:00.1'], { machine })).toMatchObject({
      status: 0,
      out: `${drive} (1b36:0010): nvme -> vfio-pci\n${card} (8086:10d3): e1000e -> vfio-pci\n`,
      err: lasts,
    });
  });

  it('moves by an override, each once', async () => {
    const context = on();
    await context.bind([drive, card, drive]);
    expect([context.stateOf(drive), context.stateOf(card)]).toEqual(['vfio-pci by vfio-pci', 'vfio-pci by vfio-pci']);
    expect(context.said.out.split('\n')).toHaveLength(3);
  });

  it('for programs', async () => {
    expect((await vfio(['bind', drive, edu, '--json'], { machine: description() })).json).toEqual({
      dryRun: false,
      devices: [
        { address: drive, vendor: 0x1b36, device: 0x10, old: 'nvme', new: 'vfio-pci' },
        { address: edu, vendor: 0x1234, device: 0x11e8, old: 'vfio-pci', new: 'vfio-pci' },
      ],
      refusals: [],
      nodes: [],
      files: [],
      notViable: [{ group: 1, blockers: [{ address: card, driver: 'e1000e' }], command: `vfio bind --group ${drive}` }],
    });
  });

  it('leaves what is there already', async () => {
    const { status, out } = await vfio(['bind', edu], { machine: description() });
    expect([status, out]).toEqual([0, `${edu} (1234:11e8): stays with vfio-pci\n`]);
  });

  it('says what keeps a group from being opened, and how to complete it', async () => {
    const { status, err } = await vfio(['bind', drive], { machine: description() });
    expect(status).toBe(0);
    expect(err).toBe(
      `Group 1 cannot be opened as long as the host drives ${card} (e1000e) of it. To bind those, too: vfio bind --group ${drive}\n${lasts}`,
    );
  });

  it('--group moves the others of the group that have drivers, and no bridge', async () => {
    const devices: MachineDescription['devices'] = [
      ...(description().devices ?? []),
      { model: 'edu', driver: 'pcieport', hostDriver: 'pcieport', group: 1, address: '0000:00:1c.0' },
      { model: 'edu', driver: null, group: 1, address: '0000:01:00.2' },
    ];
    const context = on({ [`${folder('0000:00:1c.0')}/class`]: '0x060400\n' }, { devices });
    await context.bind([card], { group: true });
    expect(['0000:00:1c.0', drive, card, '0000:01:00.2'].map((address) => context.stateOf(address))).toEqual([
      'pcieport',
      'vfio-pci by vfio-pci',
      'vfio-pci by vfio-pci',
      'none',
    ]);
    expect(context.said.err).toBe(lasts);
  });

  it('--dry-run says it and does nothing', async () => {
    const context = on();
    await context.bind([drive], { dryRun: true, persistent: true, root });
    expect(context.stateOf(drive)).toBe('nvme');
    expect(context.said.out).toMatch(`${drive} (1b36:0010): nvme -> vfio-pci\nwrite ${ruleOf(drive)}:\n  # ${drive} for vfio-pci`);
    expect(readdirSync(root)).toEqual([]);
  });

  it.each(['mlx5_vfio_pci', 'mlx5-vfio-pci'])('--driver %s, with - or _', async (driver) => {
    const files = { '/sys/bus/pci/drivers/mlx5_vfio_pci/bind': '' };
    const { out } = await vfio(['bind', drive, '--driver', driver, '--dry-run'], { machine: description(files) });
    expect(out).toBe(`${drive} (1b36:0010): nvme -> mlx5_vfio_pci\n`);
  });

  it.each<[string[], number, string]>([
    [['bind'], 2, "missing required argument 'address'"],
    [['bind', 'x'], 2, "Expected a PCI address like '0000:01:00.0' for address but received 'x'"],
    [['bind', '0000:09:00.0'], 2, 'There is no device 0000:09:00.0. Those that there are: vfio list'],
    [['bind', drive, '--force', edu], 2, `Expected one of the devices to be moved for --force but received ${edu}`],
    [['bind', drive, '--force', 'x'], 2, "Expected a PCI address like '0000:01:00.0'"],
    [['bind', drive, '--driver', 'uio'], 1, 'There is no driver uio (/sys/bus/pci/drivers/uio is missing). Load it: sudo modprobe uio'],
    [['bind', drive, '--owner', 'bob'], 2, "Expected a user of the machine's /etc/passwd or a number for --owner but received 'bob'"],
    [
      ['bind', drive, '--owner', 'alice:video'],
      2,
      "Expected a group of the machine's /etc/group or a number for --owner but received 'video'",
    ],
    [['bind', drive, '--owner', 'a:b:c'], 2, "Expected USER or USER:GROUP for --owner but received 'a:b:c'"],
    [['bind', drive, '--owner', ':kvm'], 2, "Expected USER or USER:GROUP for --owner but received ':kvm'"],
    [['bind', drive, '--root', '/tmp'], 2, '--root says where the files of --persistent go'],
    [['bind', drive, '--persistent'], 2, "--persistent needs a folder for them, by '--root FOLDER'"],
    [['unbind'], 2, "missing required argument 'address'"],
    [['unbind', '0000:09:00.0'], 2, 'There is no device 0000:09:00.0'],
    [['unbind', edu, '--driver', 'uio'], 1, 'There is no driver uio'],
    [['unbind', edu, '--driver', 'edu', '--none'], 2, '--driver and --none exclude each other'],
  ])('%j ends with %i', async (args, status, words) => {
    const said = await vfio(args, { machine: description() });
    expect([said.status, said.out]).toEqual([status, '']);
    expect(said.err).toContain(words);
  });
});

describe('vfio bind refuses', () => {
  it('what would hurt, all of it at once, with the reasons, and does nothing', async () => {
    const context = on({ ...swapping, [`${folder(card)}/boot_vga`]: '1\n' });
    await expect(context.bind([drive, card])).rejects.toThrow(
      'Nothing was done, because of this:\n' +
        `  ${drive} (1b36:0010): /dev/nvme0n1 is swap space [/proc/swaps: /dev/nvme0n1]\n` +
        `  ${card} (8086:10d3): it is the display that the machine started with [/sys/bus/pci/devices/${card}/boot_vga: 1]\n` +
        `What these do for the machine ends with their drivers. If it may: --force ${drive} --force ${card}`,
    );
    expect([context.stateOf(drive), context.stateOf(card), context.said.out]).toEqual(['nvme', 'e1000e', '']);
  });

  it('with status 3, for programs too, and in a dry run after the plan', async () => {
    const machine = description(swapping);
    expect(await vfio(['bind', drive], { machine })).toMatchObject({ status: 3, out: '' });
    expect(await vfio(['bind', drive, '--dry-run'], { machine })).toMatchObject({
      status: 3,
      out: `${drive} (1b36:0010): nvme -> vfio-pci\n`,
    });
    const { status, json } = await vfio(['bind', drive, '--json'], { machine });
    expect(status).toBe(3);
    expect(json).toMatchObject({ refusals: [{ address: drive, says: '/dev/nvme0n1 is swap space', forceable: true }] });
  });

  it('a mate that --group would take along', async () => {
    expect((await vfio(['bind', card, '--group'], { machine: description(swapping) })).status).toBe(3);
  });

  it('not what is forced, by its own address alone', async () => {
    const machine = description({ ...swapping, [`${folder(card)}/boot_vga`]: '1\n' });
    expect((await vfio(['bind', drive, card, '--force', drive], { machine })).status).toBe(3);
    expect((await vfio(['bind', drive, card, '--force', drive, '--force', card], { machine })).status).toBe(0);
  });

  it("the card of the user's connection", async () => {
    vi.stubEnv('SSH_CONNECTION', '2001:db8::9 40000 2001:db8::1 22');
    const files = {
      [`${folder(card)}/net/eth0/subsystem`]: { link: '/sys/class/net' },
      '/proc/net/if_inet6': '20010db8000000000000000000000001 02 40 00 80     eth0\n',
    };
    expect((await vfio(['bind', card], { machine: description(files) })).err).toContain('eth0 carries your own connection');
  });

  it('a bridge, whatever is forced', async () => {
    const { status, err } = await vfio(['bind', drive, '--force', drive], {
      machine: description({ [`${folder(drive)}/class`]: '0x060400\n' }),
    });
    expect(status).toBe(3);
    expect(err).toContain(
      `it is a bridge, which leads to other devices: no group needs it moved, and VFIO does not take it [/sys/bus/pci/devices/${drive}/class: 0x060400]`,
    );
    expect(err).not.toContain('If it may');
  });

  const alone: MachineDescription = { iommu: 'none', devices: [{ model: 'nvme', driver: 'nvme', hostDriver: 'nvme', address: drive }] };

  it('a device without an IOMMU group, whatever is forced', async () => {
    const { status, err } = await vfio(['bind', drive, '--force', drive], { machine: alone });
    expect(status).toBe(3);
    expect(err).toContain('it is in no IOMMU group, so vfio-pci would not take it');
  });

  it('but not in no-IOMMU mode, nor for a driver of the host', async () => {
    const { status, json } = await vfio(['bind', drive, '--owner', '1000', '--json'], { machine: { ...alone, unsafeNoIommu: true } });
    expect(status).toBe(0);
    expect(json).toMatchObject({
      nodes: [
        { path: '/dev/vfio/noiommu-0', user: 1000 },
        { path: '/dev/vfio/devices/noiommu-vfio0', user: 1000 },
      ],
    });
    const files = { '/sys/bus/pci/drivers/pci-stub/bind': '' };
    expect((await vfio(['bind', drive, '--driver', 'pci-stub', '--dry-run'], { machine: { ...alone, files } })).status).toBe(0);
  });

  it('what is on the denylist of vfio-pci, unless that is off', async () => {
    const files = { [`${folder(drive)}/vendor`]: '0x8086\n', [`${folder(drive)}/device`]: '0x37c8\n' };
    const { status, err } = await vfio(['bind', drive], { machine: description(files) });
    expect(status).toBe(3);
    expect(err).toContain('it is on the denylist of vfio-pci');
    const off = { ...files, '/sys/module/vfio_pci/parameters/disable_denylist': 'Y\n' };
    expect((await vfio(['bind', drive], { machine: description(off) })).status).toBe(0);
  });
});

describe('when something fails in the middle', () => {
  /** Its override is written to, and nobody looks at it: the device goes back to the host's driver instead. */
  const stubborn = { [`${folder(card)}/driver_override`]: '(null)\n' };

  it('what was done is put back', async () => {
    const context = on(stubborn);
    await expect(context.bind([drive, card])).rejects.toMatchObject({
      code: 'ERR_VFIO_NOT_BOUND',
      message: expect.stringMatching(
        `^Device ${card} went to e1000e instead of vfio-pci.*\nEverything was put back:\n  ${drive}: nvme\n  ${card}: e1000e$`,
      ) as string,
    });
    expect([context.stateOf(drive), context.stateOf(card)]).toEqual(['nvme', 'e1000e']);
  });

  it('and ends with 1', async () => {
    expect(await vfio(['bind', drive, card], { machine: description(stubborn) })).toMatchObject({ status: 1 });
  });

  it('when putting back fails, too, both are said, and how it is now', async () => {
    // What is written there goes nowhere: vfio-pci keeps what it has.
    const context = on({ ...stubborn, '/sys/bus/pci/drivers/vfio-pci/unbind': '' });
    await expect(context.bind([drive, card])).rejects.toThrow(
      new RegExp(
        `^Device ${card} went to e1000e instead of vfio-pci[^]*\nPutting things back failed, too: Device ${drive} went to vfio-pci instead of nvme[^]*\n` +
          `This is how it is now:\n  ${drive}: vfio-pci, was nvme\n  ${card}: e1000e$`,
      ),
    );
  });

  it('a user without privileges changes nothing, and nothing has to be put back', async () => {
    const { status, err } = await vfio(['bind', drive], { machine: description({}, { user: 1000 }) });
    expect(status).toBe(1);
    expect(err).toMatch(/^vfio: EACCES: permission denied, write '\/sys\/bus\/pci\/drivers\/nvme\/unbind'\. It takes root: sudo vfio …\n/);
    expect(err).toContain(`Everything was put back:\n  ${drive}: nvme\n`);
  });

  it('Ctrl-C between two devices puts the first back', async () => {
    const interruption = new AbortController();
    const context = new OnMachine(parseMachine(JSON.stringify(description())), interruption.signal);
    const { files } = context.machine.kernel;
    vi.spyOn(files, 'writeFile').mockImplementationOnce((path, bytes) => {
      interruption.abort();
      return Object.getPrototypeOf(files).writeFile.call(files, path, bytes) as number;
    });
    await expect(context.bind([drive, card])).rejects.toThrow(`Interrupted\nEverything was put back:\n  ${drive}: nvme\n  ${card}: e1000e`);
    expect(context.stateOf(drive)).toBe('nvme');
  });
});

describe('--owner', () => {
  it('gives the nodes of the group and of the device, once they are there', async () => {
    const { json } = await vfio(['bind', drive, card, '--owner', 'alice:kvm', '--json'], { machine: description() });
    const of = { user: 1000, group: 104, mode: 0o660 };
    expect(json).toMatchObject({
      nodes: [
        { path: '/dev/vfio/1', ...of },
        { path: '/dev/vfio/devices/vfio1', ...of },
        { path: '/dev/vfio/devices/vfio2', ...of },
      ],
    });
  });

  it('to a user alone: nobody else', async () => {
    const { json, err } = await vfio(['bind', drive, '--owner', 'alice', '--json'], { machine: description() });
    expect(json).toMatchObject({
      nodes: [{ path: '/dev/vfio/1', user: 1000, group: 0, mode: 0o600 }, { path: '/dev/vfio/devices/vfio1' }],
    });
    expect(err).toContain(
      '/dev/iommu, which is for all devices, is not for alice yet; where it is to be used: sudo setfacl -m u:alice:rw /dev/iommu',
    );
  });

  it('of a device that VFIO has already', async () => {
    const { json } = await vfio(['bind', edu, '--owner', '1000:104', '--json'], { machine: description() });
    expect(json).toMatchObject({ nodes: [{ path: '/dev/vfio/2', user: 1000, group: 104 }, { path: '/dev/vfio/devices/vfio0' }] });
  });

  it.each([
    ['root', ''],
    ['alice:kvm', 'sudo chgrp kvm /dev/iommu && sudo chmod g+rw /dev/iommu'],
  ])('%s needs of /dev/iommu: %s', async (owner, needed) => {
    const { err } = await vfio(['bind', edu, '--owner', owner], { machine: description() });
    expect(err).toContain(needed);
    expect(err.includes('/dev/iommu')).toBe(needed !== '');
  });

  it('where a node does not appear, everything is put back', async () => {
    const context = on({ '/dev/vfio/1': null });
    await expect(context.bind([drive], { owner: 'alice' })).rejects.toThrow(
      /^ENOENT: .*stat '\/dev\/vfio\/1'.*Everything was put back:\n {2}0000:01:00.0: nvme$/s,
    );
    expect(context.stateOf(drive)).toBe('nvme');
  });

  it('a node that was not given away yet is not touched, when that fails', async () => {
    const context = on();
    const { files } = context.machine.kernel;
    vi.spyOn(files, 'chown').mockReturnValue(-1);
    await expect(context.bind([drive], { owner: 'alice' })).rejects.toThrow(
      /^EPERM: operation not permitted, chown '\/dev\/vfio\/1'.*\nEverything was put back:\n {2}0000:01:00.0: nvme$/s,
    );
  });

  it('a node that was there is as it was after a failure', async () => {
    const context = on({ '/dev/vfio/1': null });
    await expect(context.bind([edu, drive], { owner: 'alice' })).rejects.toThrow('ENOENT');
    const { files } = context.machine.kernel;
    expect(files.stat('/dev/vfio/2')).toMatchObject({ user: 0, group: 0, mode: 0o600 });
  });
});

describe('--persistent', () => {
  it('shows a rule for udev, and writes it', async () => {
    const context = on();
    await context.bind([drive], { persistent: true, root, owner: 'alice:kvm' });
    const text = readFileSync(ruleOf(drive), 'utf8');
    expect(text).toMatch(
      `# ${drive} for vfio-pci, by 'vfio bind --persistent'; 'vfio unbind --persistent ${drive}' removes it.\n` +
        `ACTION=="add", SUBSYSTEM=="pci", KERNEL=="${drive}", ATTR{vendor}=="0x1b36", ATTR{device}=="0x0010", ` +
        `ATTR{driver_override}="vfio-pci", RUN{builtin}+="kmod load vfio-pci", RUN+="/bin/sh -c 'echo ${drive} > /sys/bus/pci/drivers_probe'"\n` +
        `SUBSYSTEM=="vfio", TEST=="/sys/kernel/iommu_groups/%k/devices/${drive}", OWNER="alice", GROUP="kvm", MODE="0660"\n` +
        `SUBSYSTEM=="vfio-dev", KERNELS=="${drive}", OWNER="alice", GROUP="kvm", MODE="0660"\n` +
        '# sha256 of the lines above: ',
    );
    for (const line of text.trimEnd().split('\n')) expect(context.said.out).toContain(`  ${line}\n`);
    expect(readdirSync(join(root, 'etc/udev/rules.d'))).toEqual([`70-vfio-${drive}.rules`]);
    expect(context.said.err).not.toContain('until the next boot');
  });

  it('without a group only the user, without an owner only the driver', async () => {
    const context = on();
    await context.bind([drive], { persistent: true, root, owner: '1000' });
    expect(readFileSync(ruleOf(drive), 'utf8')).toContain(`KERNELS=="${drive}", OWNER="1000", MODE="0600"\n`);
    await context.bind([drive], { persistent: true, root });
    expect(readFileSync(ruleOf(drive), 'utf8')).not.toContain('OWNER');
  });

  it('is taken back by unbind --persistent', async () => {
    const context = on();
    await context.bind([drive, edu], { persistent: true, root });
    await context.unbind([drive], { persistent: true, root });
    expect([existsSync(ruleOf(drive)), existsSync(ruleOf(edu)), context.stateOf(drive)]).toEqual([false, true, 'nvme']);
    expect(context.said.out).toContain(`remove ${ruleOf(drive)}\n`);
    await context.unbind([drive], { persistent: true, root });
    expect(context.said.err).toContain('There are no files of --persistent for this to remove.');
  });

  it('touches no file that somebody changed', async () => {
    const context = on();
    await context.bind([drive], { persistent: true, root });
    writeFileSync(ruleOf(drive), `${readFileSync(ruleOf(drive), 'utf8')}# mine\n`);
    const words = `Nothing was done: somebody changed ${ruleOf(drive)}, so it is not touched. If nobody needs it: sudo rm ${ruleOf(drive)}`;
    await expect(context.unbind([drive], { persistent: true, root })).rejects.toThrow(words);
    await expect(context.bind([drive], { persistent: true, root })).rejects.toThrow(words);
    expect(context.stateOf(drive)).toBe('vfio-pci by vfio-pci');
    expect((await vfio(['unbind', drive, '--persistent', '--root', root], { machine: description() })).status).toBe(3);
  });

  it('when a file cannot be written, devices and the files before it are as they were', async () => {
    const context = on();
    // In the way of the second.
    mkdirSync(join(ruleOf(edu), 'in the way'), { recursive: true });
    await expect(context.bind([drive, edu], { persistent: true, root })).rejects.toThrow(/EISDIR/);
    rmSync(ruleOf(edu), { recursive: true });
    mkdirSync(`${ruleOf(edu)}.${process.pid}.tmp`, { recursive: true });
    await expect(context.bind([drive, edu], { persistent: true, root })).rejects.toThrow(`Everything was put back:\n  ${drive}: nvme\n`);
    expect([existsSync(ruleOf(drive)), context.stateOf(drive)]).toEqual([false, 'nvme']);
  });

  it.each([
    ['a driver that may be in the initramfs', {}, `If the initramfs has nvme, that takes ${drive} before the rule is read`],
    [
      'one that is built in',
      { '/sys/bus/pci/drivers/nvme/module/uevent': '' },
      `nvme is built into this kernel and has ${drive} before udev runs`,
    ],
    ['vfio-pci built in', { '/sys/bus/pci/drivers/vfio-pci/module/uevent': '' }, 'vfio-pci.ids=1b36:0010 on the kernel command line'],
  ])('says what comes before it: %s', async (_name, files, words) => {
    const { err } = await vfio(['bind', drive, '--persistent', '--root', root], { machine: description(files) });
    expect(err).toContain(words);
  });

  it('says nothing of built-in drivers where they are modules', async () => {
    const files = { '/sys/bus/pci/drivers/nvme/module/initstate': 'live\n', '/sys/bus/pci/drivers/vfio-pci/module/initstate': 'live\n' };
    const { err } = await vfio(['bind', drive, '--persistent', '--root', root], { machine: description(files) });
    expect(err).not.toContain('built into');
  });
});

describe('vfio unbind', () => {
  it('gives a device to the driver that the kernel picks, and says which', async () => {
    const { status, out } = await vfio(['unbind', edu], { machine: description() });
    expect([status, out]).toEqual([0, `${edu} (1234:11e8): vfio-pci -> the one the kernel picks\n${edu}: the kernel picked edu\n`]);
  });

  it('clears the override', async () => {
    const context = on();
    await context.unbind([edu]);
    expect(context.stateOf(edu)).toBe('edu');
  });

  it('or to the one it is told, or to none', async () => {
    const context = on({ '/sys/bus/pci/drivers/uio/bind': '' });
    await context.unbind([edu], { driver: 'uio' });
    expect(context.stateOf(edu)).toBe('uio by uio');
    await context.unbind([edu], { none: true });
    expect(context.stateOf(edu)).toBe('none');
    expect(context.said.out).toBe(`${edu} (1234:11e8): vfio-pci -> uio\n${edu} (1234:11e8): uio -> no driver\n`);
  });

  it('says when no driver takes it', async () => {
    const devices: MachineDescription['devices'] = [{ model: 'edu', address: edu }];
    const { status, out, err } = await vfio(['unbind', edu], { machine: { devices } });
    expect([status, err]).toEqual([0, '']);
    expect(out).toContain(`${edu}: the kernel picked no driver: none that is loaded takes it\n`);
  });

  it('for programs', async () => {
    const machine = description();
    expect((await vfio(['unbind', edu, '--json'], { machine })).json).toMatchObject({
      devices: [{ address: edu, old: 'vfio-pci', new: 'edu' }],
    });
    const { json } = await vfio(['unbind', edu, '--json', '--dry-run'], { machine });
    expect(json).toMatchObject({ dryRun: true, devices: [{ address: edu, old: 'vfio-pci' }] });
    expect((json as { devices: object[] }).devices[0]).not.toHaveProperty('new');
  });

  it('leaves a device with its driver, and clears an override that is of no use any more', async () => {
    const context = on({}, {});
    context.machine.kernel.files.writeFile(`/sys/bus/pci/devices/${drive}/driver_override`, new TextEncoder().encode('vfio-pci'));
    await context.unbind([drive, card]);
    expect([context.stateOf(drive), context.stateOf(card)]).toEqual(['nvme', 'e1000e']);
  });

  it('--group gives back all of the group that VFIO has', async () => {
    const context = on();
    await context.bind([drive, card]);
    await context.unbind([card], { group: true });
    expect([context.stateOf(drive), context.stateOf(card), context.stateOf(edu)]).toEqual(['nvme', 'e1000e', 'vfio-pci by vfio-pci']);
  });

  it('refuses while a process has the device open, and says which', async () => {
    const files = { '/proc/42/fd/7': { link: '/dev/vfio/2' }, '/proc/42/comm': 'node\n' };
    const machine = description(files);
    const { status, err } = await vfio(['unbind', edu], { machine });
    expect(status).toBe(3);
    expect(err).toContain(
      `${edu} (1234:11e8): process 42 (node) has /dev/vfio/2 open, and the kernel would wait for it to let go [/proc/42/fd/7: /dev/vfio/2]`,
    );
    // Not even then: it would never end.
    expect((await vfio(['unbind', edu, '--force', edu], { machine })).status).toBe(3);
  });
});
