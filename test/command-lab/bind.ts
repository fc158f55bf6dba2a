/** `vfio bind` and `vfio unbind` on a kernel with drivers of its own: what they do to it, and what they refuse to do. */
import { execFileSync } from 'node:child_process';
import { chownSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pollUntil } from 'vfio/driver';
import { findDevices, native } from 'vfio';
import { parseAddress } from '../../lib/pci/address.js';
import { vfio } from '../cli/support.js';
import { addressesOf, firstOf } from '../hardware/devices.js';

const hasHostDrivers = existsSync('/sys/bus/pci/drivers/nvme');
const [drive = ''] = hasHostDrivers ? addressesOf(0x1b36, 0x0010) : [];
const [left = '', right = ''] = hasHostDrivers ? addressesOf(0x8086, 0x10d3) : [];
const [bridged] = findDevices(native(), { vendor: 0x1234, device: 0x11e8 }).filter(({ address }) => !address.startsWith('0000:00:'));

const nobody = 65534;

const driverOf = (address: string): string | undefined => findDevices(native()).find((device) => device.address === address)?.driver;
const folderOf = (address: string): string => `/sys/bus/pci/devices/${parseAddress(address)}`;
const overrideOf = (address: string): string => readFileSync(`${folderOf(address)}/driver_override`, 'utf8').trim();
const groupNodeOf = (address: string): string => `/dev/vfio/${findDevices(native()).find((device) => device.address === address)?.group}`;

/** What the kernel's own driver makes of it, after a moment. */
const disk = (): Promise<string> =>
  pollUntil(() => firstOf(join(folderOf(drive), 'nvme'), /^nvme\d+$/)?.concat('n1'), {
    what: 'the disk',
    timeoutMilliseconds: 20_000,
  }).then(async (name) => {
    await pollUntil(() => existsSync(`/sys/class/block/${name}`) || undefined, { what: name, timeoutMilliseconds: 20_000 });
    return `/dev/${name}`;
  });
const card = (address: string): Promise<string> =>
  pollUntil(() => firstOf(join(folderOf(address), 'net')), { what: 'the card', timeoutMilliseconds: 20_000 });

/** The host has them. */
async function atHome(...addresses: string[]): Promise<void> {
  expect(await vfio(['unbind', ...addresses])).toMatchObject({ status: 0 });
}

afterEach(() => {
  vi.unstubAllEnvs();
});

if (hasHostDrivers)
  describe('vfio bind, where the host has drivers', { timeout: 120_000 }, () => {
    it('a drive goes to vfio-pci and comes back, and can be read', async () => {
      await atHome(drive);
      const name = await disk();
      const there = await vfio(['bind', drive]);
      expect(there).toMatchObject({ status: 0, out: `${drive} (1b36:0010): nvme -> vfio-pci\n` });
      expect([driverOf(drive), overrideOf(drive), existsSync(name)]).toEqual(['vfio-pci', 'vfio-pci', false]);
      expect(JSON.parse(readFileSync('/run/vfio/bindings.json', 'utf8'))).toMatchObject({
        devices: { [drive]: { driver: 'nvme', override: null, to: 'vfio-pci' } },
      });
      const back = await vfio(['unbind', drive]);
      expect(back).toMatchObject({ status: 0, out: `${drive} (1b36:0010): vfio-pci -> nvme\n` });
      expect([driverOf(drive), overrideOf(drive)]).toEqual(['nvme', '(null)']);
      expect(JSON.parse(readFileSync('/run/vfio/bindings.json', 'utf8'))).toMatchObject({ devices: {} });
      const fd = openSync(await disk(), 'r');
      expect(readSync(fd, new Uint8Array(4096))).toBe(4096);
      closeSync(fd);
    });

    it('two cards go together, and come back as cards of the host', async () => {
      await atHome(left, right);
      expect((await vfio(['bind', left, right, '--json'])).json).toMatchObject({
        devices: [
          { address: left, old: 'e1000e', new: 'vfio-pci' },
          { address: right, old: 'e1000e', new: 'vfio-pci' },
        ],
      });
      expect([driverOf(left), driverOf(right)]).toEqual(['vfio-pci', 'vfio-pci']);
      await atHome(left, right);
      expect([await card(left), await card(right)]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
    });

    it('what nobody remembers goes to the driver that the kernel picks; --none to none', async () => {
      await atHome(drive);
      expect((await vfio(['unbind', drive, '--none'])).out).toBe(`${drive} (1b36:0010): nvme -> no driver\n`);
      expect(driverOf(drive)).toBeUndefined();
      const { out } = await vfio(['unbind', drive]);
      expect(out).toBe(`${drive} (1b36:0010): no driver -> the one the kernel picks\n${drive}: the kernel picked nvme\n`);
    });

    it('swap space stays', async () => {
      await atHome(drive);
      const name = await disk();
      execFileSync('mkswap', [name]);
      execFileSync('swapon', [name]);
      try {
        const { status, err } = await vfio(['bind', drive, right]);
        expect([status, driverOf(drive), driverOf(right)]).toEqual([3, 'nvme', 'e1000e']);
        expect(err).toContain(`${drive} (1b36:0010): ${name} is swap space [/proc/swaps: ${name}]`);
      } finally {
        execFileSync('swapoff', [name]);
      }
      expect(await vfio(['bind', drive, '--dry-run'])).toMatchObject({ status: 0 });
    });

    it('a disk that a process has open stays', async () => {
      await atHome(drive);
      const fd = openSync(await disk(), 'r');
      const { status, err } = await vfio(['bind', drive]);
      closeSync(fd);
      expect([status, driverOf(drive)]).toEqual([3, 'nvme']);
      expect(err).toContain(`process ${process.pid} (`);
    });

    it('a card with an address, the default route and the connection stays, and goes when it is forced', async () => {
      await atHome(right);
      const name = await card(right);
      execFileSync('busybox', ['ifconfig', name, '10.78.0.2', 'netmask', '255.255.255.0', 'up']);
      execFileSync('busybox', ['route', 'add', 'default', 'gw', '10.78.0.1', name]);
      vi.stubEnv('SSH_CONNECTION', '10.78.0.9 40000 10.78.0.2 22');
      const { status, err } = await vfio(['bind', right]);
      expect([status, driverOf(right)]).toEqual([3, 'e1000e']);
      expect(err).toContain(`${name} carries your own connection`);
      expect(err).toContain(`${name} carries the default route [/proc/net/route: ${name}]`);
      expect(err).toContain(`${name} has the address 10.78.0.2`);
      expect(await vfio(['bind', right, '--force', right])).toMatchObject({ status: 0 });
      expect(driverOf(right)).toBe('vfio-pci');
      await atHome(right);
    });

    it('when one of several fails, those before it are put back', async () => {
      await atHome(drive, left);
      expect(await vfio(['bind', drive])).toMatchObject({ status: 0 });
      // The first can go to nvme. The second is no drive, which its probe finds out.
      const { status, err } = await vfio(['bind', drive, left, '--driver', 'nvme']);
      expect(status).toBe(1);
      expect(err).toContain(`Device ${left} went to no driver instead of nvme`);
      expect(err).toContain(`Everything was put back:\n  ${drive}: vfio-pci (driver_override vfio-pci)\n  ${left}: e1000e\n`);
      expect([driverOf(drive), overrideOf(drive), driverOf(left), overrideOf(left)]).toEqual(['vfio-pci', 'vfio-pci', 'e1000e', '(null)']);
      await card(left);
      await atHome(drive);
      expect(driverOf(drive)).toBe('nvme');
    });

    it('a device whose group a process has open stays with vfio-pci', async () => {
      await atHome(left);
      expect(await vfio(['bind', left])).toMatchObject({ status: 0 });
      const node = groupNodeOf(left);
      const fd = openSync(node, 'r+');
      const { status, err } = await vfio(['unbind', left]);
      closeSync(fd);
      expect([status, driverOf(left)]).toEqual([3, 'vfio-pci']);
      expect(err).toContain(`process ${process.pid} (`);
      expect(err).toContain(`has ${node} open`);
      await atHome(left);
    });

    it('a user without privileges opens what --owner gives', async () => {
      await atHome(left);
      const { status, json } = await vfio(['bind', left, '--owner', `nobody:${nobody}`, '--json']);
      const node = groupNodeOf(left);
      expect(status).toBe(0);
      expect(json).toMatchObject({ nodes: expect.arrayContaining([{ path: node, user: nobody, group: nobody, mode: 0o660 }]) as unknown });
      const open = (user: number, path: string): Buffer =>
        execFileSync('setpriv', [`--reuid=${user}`, `--regid=${user}`, '--clear-groups', 'sh', '-c', `exec 3<>${path}`], { stdio: 'pipe' });
      open(nobody, node);
      expect(() => open(12345, node)).toThrow(/denied/);
      const own = firstOf(join(folderOf(left), 'vfio-dev'));
      const { uid, mode } = statSync(`/dev/vfio/devices/${own}`);
      expect([uid, mode & 0o777]).toEqual([nobody, 0o660]);
      await atHome(left);
    });

    it('when a node cannot be given away, the device is put back', async () => {
      await atHome(left);
      execFileSync('mount', ['-o', 'remount,bind,ro', '/dev']);
      try {
        const { status, err } = await vfio(['bind', left, '--owner', 'nobody']);
        expect([status, driverOf(left), overrideOf(left)]).toEqual([1, 'e1000e', '(null)']);
        expect(err).toMatch(/EROFS: .*chown '\/dev\/vfio\/\d+'/);
        expect(err).toContain(`Everything was put back:\n  ${left}: e1000e\n`);
      } finally {
        execFileSync('mount', ['-o', 'remount,bind,rw', '/dev']);
      }
    });

    it('udev understands the rule that makes it last', async () => {
      await atHome(left);
      const root = mkdtempSync('/tmp/vfio-root-');
      const rules = '/etc/udev/rules.d';
      try {
        expect(await vfio(['bind', left, '--persistent', '--owner', 'nobody', '--root', root])).toMatchObject({ status: 0 });
        execFileSync('cp', ['-r', `${root}${rules}/.`, rules]);
        const nodes = [`vfio/${basename(groupNodeOf(left))}`, `vfio-dev/${firstOf(join(folderOf(left), 'vfio-dev'))}`];
        const files = [groupNodeOf(left), `/dev/vfio/devices/${firstOf(join(folderOf(left), 'vfio-dev'))}`];
        for (const file of files) chownSync(file, 0, 0);
        for (const node of nodes) execFileSync('udevadm', ['test', '--action=add', `/sys/class/${node}`], { stdio: 'pipe' });
        expect(files.map((file) => statSync(file).uid)).toEqual([nobody, nobody]);
        await atHome(left);
        // As when the device appears, but for the programs it would run.
        const said = execFileSync('udevadm', ['test', '--action=add', folderOf(left)], { encoding: 'utf8', stdio: 'pipe' });
        expect(overrideOf(left)).toBe('vfio-pci');
        expect(said).toContain(`run: '/bin/sh -c 'echo ${left} > /sys/bus/pci/drivers_probe''`);
        expect(await vfio(['unbind', left, '--persistent', '--root', root])).toMatchObject({ status: 0 });
        expect(existsSync(join(root, rules, `70-vfio-${left}.rules`))).toBe(false);
      } finally {
        rmSync(root, { recursive: true, force: true });
        rmSync(join(rules, `70-vfio-${left}.rules`), { force: true });
        await atHome(left);
      }
    });
  });

if (bridged !== undefined)
  describe('vfio bind, in a group with a device of the host', { timeout: 120_000 }, () => {
    const edu = bridged?.address ?? '';
    const mates = findDevices(native()).filter(({ group, address }) => group === bridged?.group && address !== edu);
    const [bridge, neighbour] = [
      mates.find(({ classCode }) => classCode >>> 8 === 0x0604),
      mates.find(({ driver }) => driver === 'virtio-pci'),
    ];

    it('says what keeps the group from being opened', async () => {
      await vfio(['unbind', edu]);
      const { status, err } = await vfio(['bind', edu]);
      expect([status, driverOf(edu)]).toEqual([0, 'vfio-pci']);
      expect(err).toContain(
        `as long as the host drives ${neighbour?.address} (virtio-pci) of it. To bind those, too: vfio bind --group ${edu}`,
      );
    });

    it('--group moves what the host drives, and nothing that leads to devices', async () => {
      const before = driverOf(bridge?.address ?? '');
      const { status, json } = await vfio(['bind', '--group', edu, '--json']);
      expect(status).toBe(0);
      expect(json).toMatchObject({
        devices: [{ address: edu }, { address: neighbour?.address, old: 'virtio-pci', new: 'vfio-pci' }],
        notViable: [],
      });
      expect(driverOf(bridge?.address ?? '')).toBe(before);
      expect(await vfio(['unbind', '--group', edu])).toMatchObject({ status: 0 });
      expect(driverOf(neighbour?.address ?? '')).toBe('virtio-pci');
    });

    it('a bridge stays, whatever is forced', async () => {
      const address = bridge?.address ?? '';
      const { status, err } = await vfio(['bind', address, '--force', address]);
      expect(status).toBe(3);
      expect(err).toContain('it is a bridge');
    });
  });
