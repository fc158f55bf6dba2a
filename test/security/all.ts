/** What docs/security.md says of processes that are not root, on a real kernel: each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { chownSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findDevices, native, openDevice, type OpenWay } from 'vfio';

// A process takes seconds to start on an emulated processor.
vi.setConfig({ testTimeout: 180_000 });

const user = 1000;
const eduDevices = findDevices(native(), { vendor: 0x1234, device: 0x11e8 });
const [edu, other] = eduDevices;
if (edu === undefined || other === undefined) throw new Error('The machine lacks two edu devices');
const { address } = edu;
const groupNode = `/dev/vfio/${edu.group}`;
const program = join(process.cwd(), 'test/.bundles/security-child.mjs');

/** What the program says, as a user who is not root. */
function says(name: string, given: object, { as = user, fds = [] as number[], limit = '512' } = {}): unknown {
  const shell = ['-c', `ulimit -l ${limit}; exec "$0" "$@"`, process.execPath, program, name, JSON.stringify(given)];
  const { stdout, stderr, status } = spawnSync('sh', shell, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', ...fds],
    ...(as === 0 ? {} : { uid: as, gid: as }),
  });
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

function give(...nodes: string[]): void {
  for (const node of nodes) chownSync(node, user, user);
}

const works = { user, copied: true, interrupted: true };

describe('a process that is not root', () => {
  beforeEach(takeBack);
  afterEach(takeBack);
  function takeBack(): void {
    for (const node of [groupNode, edu?.node ?? '', '/dev/iommu']) chownSync(node, 0, 0);
  }

  it('finds the nodes of devices closed to it, and that of containers open', () => {
    for (const node of [groupNode, edu.node!, '/dev/iommu']) expect(statSync(node).mode & 0o007, node).toBe(0);
    expect(statSync('/dev/vfio/vfio').mode & 0o777).toBe(0o666);
    expect(says('open', { address, by: 'group' })).toEqual({ code: 'EACCES', path: groupNode });
  });

  it('drives the device of a group whose node it was given, and no other', () => {
    give(groupNode);
    expect(says('open', { address, by: 'group', other: other.address })).toEqual({
      ...works,
      way: 'group',
      other: 'EACCES',
    });
  });

  it('takes the group of its own accord where it was not given the node', () => {
    give(groupNode);
    expect(says('open', { address, other: other.address })).toEqual({ ...works, way: 'group', other: 'EACCES' });
  });

  it('by the node needs /dev/iommu as well', () => {
    give(edu.node!);
    expect(says('open', { address, by: 'node' })).toEqual({ code: 'EACCES', path: '/dev/iommu' });
    give('/dev/iommu');
    expect(says('open', { address, by: 'node', other: other.address })).toEqual({ ...works, way: 'node', other: 'EACCES' });
  });

  it.each(['node', 'group', 'compatibility'] as const)('drives a device whose files a broker opened by its %s, and opens none', (by) => {
    using opened = openDevice(native(), address, { by });
    const shared = opened.share();
    const said = says('adopt', { shared, address }, { fds: [shared.device, shared.space] });
    expect(said).toEqual({ ...works, way: by, anew: ['EACCES', 'EACCES'] });
    // It is the broker's still, turned off.
    expect(opened.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
    expect(opened.device.config.read16(4) & 4).toBe(0);
  });

  it('is told by the kernel that a file is not the one that it took it for', () => {
    using opened = openDevice(native(), address, { by: 'group' });
    const shared = opened.share();
    expect(says('adopt', { shared, address }, { fds: [shared.space, shared.device] })).toEqual({ code: 'ENOTTY', path: `fd 4` });
  });

  it.each(['node', 'group'] as const)('that was root keeps what it opened by the %s, and is bound by its limit from then on', (by) => {
    expect(says('drop', { address, by, user }, { as: 0, limit: '1024' })).toEqual({
      ...works,
      ...{ way: by, stillMapped: true, over: 'ENOMEM', again: 'EPERM', anew: 'EACCES' },
    });
  });
});

describe('a device', () => {
  it.each(['node', 'group'] satisfies OpenWay[])('writes where it was let write, and nowhere else: by its %s', (by) => {
    expect(says('unmapped', { address, by }, { as: 0 })).toEqual({ mapped: true, afterwards: false, readOnly: false, elsewhere: false });
  });

  it('stays where it is on the bus, whatever is written to its base address', () => {
    using opened = openDevice(native(), address);
    const { config } = opened.device;
    const before = config.read32(0x10);
    config.write32(0x10, 0xf000_0000);
    expect(opened.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
    config.write32(0x10, before);
  });
});
