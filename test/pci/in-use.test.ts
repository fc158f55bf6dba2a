/** What devices do for the machine: each use planted in the files of a simulated one, as the kernel shows it. */
import { describe, expect, it } from 'vitest';
import { groupBlockers, hasVfioDriver, isBridge, isVfioDriver } from '../../lib/pci/group.js';
import { usesOf } from '../../lib/pci/in-use/uses.js';
import { findDevice } from '../../lib/pci/topology.js';
import { Edu, Machine, type PlainFile } from '../../lib/sim/index.js';

const address = '0000:01:00.0';
const folder = `/sys/devices/pci0000:00/${address}`;
const disk = `${folder}/nvme/nvme0/nvme0n1`;
const partition = `${disk}/nvme0n1p1`;
const card = `${folder}/net/eth0`;

/** A drive with a partition, and a card. */
const parts: Readonly<Record<string, PlainFile>> = {
  [`${folder}/nvme/nvme0/subsystem`]: { link: '../../../../class/nvme' },
  [`${disk}/subsystem`]: { link: '../../../../../class/block' },
  [`${disk}/dev`]: '259:0\n',
  [`${disk}/uevent`]: 'MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\nDEVTYPE=disk\n',
  [`${partition}/subsystem`]: { link: '../../../../../../class/block' },
  [`${partition}/dev`]: '259:1\n',
  [`${partition}/uevent`]: 'MAJOR=259\nMINOR=1\nDEVNAME=nvme0n1p1\nDEVTYPE=partition\n',
  [`${card}/subsystem`]: { link: '../../../../../class/net' },
};

const routes = (...lines: string[]): string =>
  ['Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT', ...lines, ''].join('\n');
const near = 'eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0';
const trie = 'Main:\n  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n';

function usesWith(
  files: Readonly<Record<string, PlainFile>>,
  { session, driver = 'nvme' }: { session?: string; driver?: string } = {},
): unknown {
  const { kernel } = new Machine({
    devices: [{ model: new Edu(), address, group: 1, driver, hostDriver: 'nvme' }],
    files: { ...parts, ...files },
  });
  return usesOf(kernel, [findDevice(kernel, address)], session).get(address);
}

describe('a device is in use', () => {
  it('for nothing', () => {
    expect(usesWith({})).toEqual([]);
  });

  it.each<[string, Readonly<Record<string, PlainFile>>, string, string, string]>([
    [
      'mounted by number',
      { '/proc/self/mountinfo': '36 25 259:1 / /my\\040home rw - ext4 /dev/disk/by-label/home rw\n' },
      'mounted',
      '/dev/nvme0n1p1 is mounted on /my home',
      '/proc/self/mountinfo',
    ],
    [
      'mounted by name, where the file system has numbers of its own',
      { '/proc/self/mountinfo': '36 25 0:31 /root / rw shared:1 - btrfs /dev/nvme0n1 rw\n' },
      'mounted',
      '/dev/nvme0n1 is the root disk: it is mounted on /',
      '/proc/self/mountinfo',
    ],
    [
      'one of several disks of a mounted btrfs',
      { '/sys/fs/btrfs/1234-5678/devices/nvme0n1p1': { link: '../../../block/nvme0n1p1' } },
      'mounted',
      '/dev/nvme0n1p1 is part of a mounted btrfs',
      '/sys/fs/btrfs/1234-5678/devices',
    ],
    [
      'swap',
      { '/proc/swaps': 'Filename\tType\tSize\n/dev/nvme0n1p1 partition\t1\n' },
      'swap',
      '/dev/nvme0n1p1 is swap space',
      '/proc/swaps',
    ],
    [
      'LVM',
      { [`${partition}/holders/dm-0`]: { link: '../../dm-0' }, '/sys/class/block/dm-0/dm/name': 'vg-root\n' },
      'holder',
      '/dev/nvme0n1p1 is part of dm-0 (vg-root)',
      `/sys/bus/pci/devices/${address}/nvme/nvme0/nvme0n1/nvme0n1p1/holders`,
    ],
    [
      'md',
      { [`${disk}/holders/md127`]: { link: '../../md127' } },
      'holder',
      '/dev/nvme0n1 is part of md127',
      `/sys/bus/pci/devices/${address}/nvme/nvme0/nvme0n1/holders`,
    ],
    [
      'ZFS',
      { '/run/udev/data/b259:1': 'S:disk/by-id/x\nE:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n' },
      'holder',
      '/dev/nvme0n1p1 is part of the ZFS pool tank',
      '/run/udev/data/b259:1',
    ],
    [
      'the default route',
      { '/proc/net/route': routes('eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0') },
      'route',
      'eth0 carries the default route',
      '/proc/net/route',
    ],
    [
      'the default route of version 6',
      {
        '/proc/net/ipv6_route': `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 fe80${'0'.repeat(28)} 00000400 00000001 00000000 00000003     eth0\n`,
      },
      'route',
      'eth0 carries the default route',
      '/proc/net/ipv6_route',
    ],
    [
      'an address',
      { '/proc/net/route': routes(near), '/proc/net/fib_trie': trie },
      'address',
      'eth0 has the address 10.0.0.2',
      '/proc/net/fib_trie',
    ],
    [
      'an address of version 6',
      { '/proc/net/if_inet6': '20010db8000000000000000000000001 02 40 00 80     eth0\n' },
      'address',
      'eth0 has the address 2001:db8::1',
      '/proc/net/if_inet6',
    ],
    [
      'a bridge',
      { [`${card}/master`]: { link: '../../br0' } },
      'member',
      'br0 is built on eth0',
      `/sys/bus/pci/devices/${address}/net/eth0/master`,
    ],
    [
      'a VLAN',
      { [`${card}/upper_eth0.7`]: { link: '../../eth0.7' } },
      'member',
      'eth0.7 is built on eth0',
      `/sys/bus/pci/devices/${address}/net/eth0/upper_eth0.7`,
    ],
    [
      'the console',
      { [`${folder}/boot_vga`]: '1\n' },
      'console',
      'it is the display that the machine started with',
      `/sys/bus/pci/devices/${address}/boot_vga`,
    ],
    [
      'a node that a process has open',
      { '/proc/42/fd/3': { link: '/dev/nvme0n1' }, '/proc/42/comm': 'dd\n' },
      'open',
      'process 42 (dd) has /dev/nvme0n1 open',
      '/proc/42/fd/3',
    ],
  ])('%s', (_name, files, kind, says, file) => {
    expect(usesWith(files)).toEqual([{ kind, says, evidence: [expect.objectContaining({ file }) as unknown] }]);
  });

  it('by virtual functions', () => {
    const files = { [`${folder}/sriov_numvfs`]: '2\n', [`${folder}/virtfn0`]: { link: '../0000:01:10.0' } };
    expect(usesWith(files)).toEqual([
      expect.objectContaining({ kind: 'virtual-functions', says: expect.stringContaining('it has 2 virtual functions') as string }),
    ]);
    expect(usesWith({ [`${folder}/sriov_numvfs`]: '0\n' })).toEqual([]);
  });

  it('by a namespace that several controllers may reach', () => {
    const subsystem = '/sys/class/nvme-subsystem/nvme-subsys0';
    const files = {
      [`${subsystem}/nvme0`]: { link: folder },
      [`${subsystem}/nvme0n2/subsystem`]: { link: '/sys/class/block' },
      [`${subsystem}/nvme0n2/dev`]: '259:7\n',
      '/proc/self/mountinfo': '36 25 259:7 / /data rw - xfs /dev/nvme0n2 rw\n',
    };
    expect(usesWith(files)).toMatchObject([{ kind: 'mounted', says: '/dev/nvme0n2 is mounted on /data' }]);
  });

  it.each([
    ['10.0.0.2', { '/proc/net/route': routes(near), '/proc/net/fib_trie': trie }],
    ['2001:DB8:0::1', { '/proc/net/if_inet6': '20010db8000000000000000000000001 02 40 00 80     eth0\n' }],
    ['fe80::2%eth0', { '/proc/net/if_inet6': 'fe800000000000000000000000000002 02 40 20 80     eth0\n' }],
  ])("by the user's own connection, to %s", (session, files) => {
    expect(usesWith(files, { session })).toContainEqual(
      expect.objectContaining({ kind: 'session', says: 'eth0 carries your own connection' }),
    );
    expect(usesWith(files, { session: '10.9.9.9' })).not.toContainEqual(expect.objectContaining({ kind: 'session' }));
  });

  it('not by what other disks and cards are used for, nor by an address that every card has', () => {
    const files = {
      '/proc/self/mountinfo': '36 25 8:1 / / rw - ext4 /dev/sda1 rw\nnonsense\n',
      '/proc/swaps': 'Filename\tType\n/dev/sda2 partition\n/swap.img file\n',
      '/proc/net/route': routes('eth1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0', near.replace('eth0', 'eth1')),
      '/proc/net/fib_trie': trie,
      '/proc/net/ipv6_route': `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} ffffffff 00000001 00000000 00200200       lo\n`,
      '/proc/net/if_inet6': 'fe800000000000000000000000000002 02 40 20 80     eth0\n',
      '/proc/42/fd/3': { link: '/dev/sda' },
      '/run/udev/data/b259:1': 'E:ID_FS_TYPE=ext4\n',
      [`${folder}/boot_vga`]: '0\n',
    };
    expect(usesWith(files)).toEqual([]);
  });

  it('not by what devices behind it are used for', () => {
    const behind = `${folder}/0000:02:00.0/net/eth7`;
    expect(usesWith({ [`${behind}/subsystem`]: { link: '/sys/class/net' }, [`${behind}/master`]: { link: '../br0' } })).toEqual([]);
  });

  it('of VFIO, when a process has its group open, its node, or by the kernel of 6.18 itself', () => {
    const files = {
      '/proc/42/comm': 'qemu-system-x86\n',
      '/proc/42/fd/3': { link: '/dev/vfio/1' },
      '/proc/42/fd/4': { link: '/dev/vfio/devices/vfio0' },
      '/proc/43/fd/5': { link: 'anon_inode:[vfio-device]' },
      '/proc/43/fdinfo/5': `pos:\t0\nvfio-device-syspath: ${folder}\n`,
      '/proc/44/fd/5': { link: 'anon_inode:[vfio-device]' },
      '/proc/45/fd/5': { link: '/dev/vfio/12' },
      '/proc/net/fd/5': { link: '/dev/vfio/1' },
    };
    expect((usesWith(files, { driver: 'vfio-pci' }) as { says: string }[]).map(({ says }) => says).sort()).toEqual([
      'process 42 (qemu-system-x86) has /dev/vfio/1 open',
      'process 42 (qemu-system-x86) has /dev/vfio/devices/vfio0 open',
      `process 43 (?) has ${address} open`,
    ]);
    // Whoever has the group open, does not mind whom a host's driver gives a device up to.
    expect(usesWith({ '/proc/42/fd/3': { link: '/dev/vfio/1' } })).toEqual([]);
  });

  it('no longer as a console, when VFIO has it', () => {
    expect(usesWith({ [`${folder}/boot_vga`]: '1\n' }, { driver: 'vfio-pci' })).toEqual([]);
  });
});

describe('groups', () => {
  it('are kept from being opened by drivers of the host, not by bridges, pci-stub, VFIO or none', () => {
    const devices = ['nvme', 'pcieport', 'pci-stub', 'vfio-pci', null, 'mlx5_vfio_pci', 'other'].map((driver) => ({
      model: new Edu(),
      group: 1,
      driver,
    }));
    const files = {
      '/sys/devices/pci0000:00/0000:00:04.0/class': '0x060400\n',
      // However a driver is called, one of VFIO shows this.
      '/sys/devices/pci0000:00/0000:00:09.0/vfio-dev/vfio7/dev': '511:7\n',
    };
    const { kernel } = new Machine({ devices, files });
    expect(groupBlockers(kernel, 1).map(({ driver }) => driver)).toEqual(['nvme']);
    expect(isBridge(findDevice(kernel, '0000:00:04.0'))).toBe(true);
    expect(hasVfioDriver(kernel, findDevice(kernel, '0000:00:07.0'))).toBe(false);
  });

  it.each(['vfio-pci', 'mlx5_vfio_pci', 'nvgrace_gpu_vfio_pci', 'vfio_pci'])('%s is a driver of VFIO', (name) => {
    expect(isVfioDriver(name)).toBe(true);
  });

  it.each(['nvme', 'pcieport', 'vfionic'])('%s is not', (name) => {
    expect(isVfioDriver(name)).toBe(false);
  });
});
