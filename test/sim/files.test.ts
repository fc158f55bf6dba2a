/** The simulated machine's files. */
import { describe, expect, it } from 'vitest';
import { VFIO_GROUP_SET_CONTAINER } from '../../lib/abi/vfio/group.js';
import { directory, line, link, command } from '../../lib/sim/file-node.js';
import { FileTree } from '../../lib/sim/files.js';
import { PlainFiles } from '../../lib/sim/plain-files.js';
import { Process } from '../../lib/sim/process.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const [ENOENT, EACCES, EBUSY, ENODEV, EISDIR, EINVAL, ELOOP] = [-2, -13, -16, -19, -21, -22, -40];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a tree of files', () => {
  const written: string[] = [];
  const tree = new FileTree(
    directory(() => ({
      folder: directory(() => ({ name: line(() => 'text'), up: link(() => '..') })),
      there: link(() => '/folder/up/folder'),
      around: link(() => 'again'),
      again: link(() => 'around'),
      only: command((text) => written.push(text)),
    })),
    new PlainFiles({}),
    new Process(0),
  );

  it('is walked through links, to their end or to the last of them', () => {
    expect(new TextDecoder().decode(tree.readFile('/there/../folder/./name') as Uint8Array)).toBe('text\n');
    expect(tree.readlink('/there')).toBe('/folder/up/folder');
    expect(tree.readdir('/there')).toEqual(['name', 'up']);
    expect(tree.readdir('/../..')).toEqual(['again', 'around', 'folder', 'only', 'there']);
    expect([tree.readlink('/there/nothing'), tree.access('/nothing'), tree.readdir('/nothing')]).toEqual([ENOENT, ENOENT, ENOENT]);
  });

  it('links in a circle are ELOOP, and can be looked at', () => {
    expect([tree.access('/around'), tree.readFile('/around'), tree.writeFile('/around', bytes('x'))]).toEqual([ELOOP, ELOOP, ELOOP]);
    expect(tree.readlink('/around')).toBe('again');
  });

  it('files are written that can be, and a write of nothing reaches nobody', () => {
    expect([tree.writeFile('/only', bytes('')), tree.writeFile('/only', bytes('word'))]).toEqual([0, 4]);
    expect(written).toEqual(['word']);
    expect([tree.readFile('/only'), tree.writeFile('/folder/name', bytes('x')), tree.writeFile('/folder', bytes('x'))]).toEqual([
      EACCES,
      EACCES,
      EISDIR,
    ]);
    expect(tree.writeFile('/nothing', bytes('x'))).toBe(ENOENT);
  });
});

describe('files of the machine that take orders', () => {
  const parameters = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
  const noIommu = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

  it('take the number of mappings, in 32 bits', () => {
    const { files } = new Machine().kernel;
    for (const wrong of ['x', '-1', '1.5', '4294967296'])
      expect([wrong, files.writeFile(parameters, bytes(wrong))]).toEqual([wrong, EINVAL]);
    expect(files.writeFile(parameters, bytes('4294967295'))).toBe(10);
    expect(new TextDecoder().decode(files.readFile(parameters) as Uint8Array)).toBe('4294967295\n');
  });

  it('take a boolean by its first letter', () => {
    const { files } = new Machine().kernel;
    const mode = (): string => new TextDecoder().decode(files.readFile(noIommu) as Uint8Array).trim();
    const answers = ['yes', 'no', 'on', 'off', '1', '0', 'maybe', 'o'].map((word) => [word, files.writeFile(noIommu, bytes(word)), mode()]);
    expect(answers).toEqual([
      ['yes', 3, 'Y'],
      ['no', 2, 'N'],
      ['on', 2, 'Y'],
      ['off', 3, 'N'],
      ['1', 1, 'Y'],
      ['0', 1, 'N'],
      ['maybe', EINVAL, 'N'],
      ['o', EINVAL, 'N'],
    ]);
  });

  it('give a device to the driver that matches it, if nobody else has it', () => {
    const [address, other] = ['0000:00:03.0', '0000:00:04.0'];
    const { kernel } = new Machine({
      devices: [
        { model: new Edu(), group: 1, driver: null, hostDriver: 'nvme' },
        { model: new Edu(), group: 1 },
        { model: new Edu(), driver: null },
      ],
    });
    const write = (path: string, text: string): number => kernel.files.writeFile(`/sys/bus/pci/${path}`, bytes(text));
    expect([write('drivers_probe', '0000:00:1f.0'), write('drivers/nvme/bind', '0000:00:1f.0')]).toEqual([ENODEV, ENODEV]);
    expect(kernel.files.readdir('/sys/bus/pci/devices/0000:00:05.0')).not.toContain('vfio-dev');
    // One that has no driver's name is left alone, and one that has a driver too.
    expect([write('drivers_probe', '0000:00:05.0'), write('drivers_probe', other)]).toEqual([12, 12]);
    expect([write('drivers/vfio-pci/bind', address), write('drivers/vfio-pci/bind', other)]).toEqual([ENODEV, EBUSY]);
    expect([write('drivers/vfio-pci/unbind', address), write('drivers/nvme/unbind', address)]).toEqual([ENODEV, ENODEV]);
    const group = kernel.open('/dev/vfio/1', 2);
    const container = kernel.open('/dev/vfio/vfio', 2);
    expect(kernel.ioctl(group, VFIO_GROUP_SET_CONTAINER.number, new Uint8Array(Int32Array.of(container).buffer))).toBe(0);
    expect([write('drivers_probe', address), write('drivers/nvme/bind', address)]).toEqual([EBUSY, EBUSY]);
    // vfio-pci may have all devices of the group.
    write(`devices/${address}/driver_override`, 'vfio-pci');
    expect([write('drivers/vfio-pci/bind', address), write('drivers/vfio-pci/unbind', address)]).toEqual([12, 12]);
    write(`devices/${address}/driver_override`, '\n');
    kernel.close(group);
    expect(write('drivers/nvme/bind', address)).toBe(12);
    expect(kernel.files.readlink(`/sys/bus/pci/devices/${address}/driver`)).toBe('../../../bus/pci/drivers/nvme');
    kernel.close(container);
  });

  it('take no device from who has it open', () => {
    const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
    const unbind = (): number => kernel.files.writeFile('/sys/bus/pci/drivers/vfio-pci/unbind', bytes('0000:00:03.0'));
    const node = kernel.open('/dev/vfio/devices/vfio0', 2);
    expect(unbind()).toBe(EBUSY);
    kernel.close(node);
    expect(unbind()).toBe(12);
  });
});

describe("files' owners and modes", () => {
  const group = '/dev/vfio/0';
  const mode = (machine: Machine, path: string): unknown => {
    const status = machine.kernel.files.stat(path);
    return typeof status === 'number' ? status : status.mode.toString(8);
  };

  it('nodes have the modes that the kernel makes them with', () => {
    const machine = new Machine({ devices: [{ model: new Edu() }] });
    expect(
      ['/dev/vfio/vfio', '/dev/iommu', group, '/dev/vfio/devices/vfio0', '/sys', '/nothing'].map((path) => mode(machine, path)),
    ).toEqual([...['666', '660', '600', '600', '755'], ENOENT]);
    expect(machine.kernel.files.stat('/dev/vfio/vfio')).toEqual({
      kind: 'character-device',
      mode: 0o666,
      user: 0,
      group: 0,
      device: '10:196',
    });
  });

  it('who is not root opens what is given to them, and writes nothing of sysfs', () => {
    const machine = new Machine({ devices: [{ model: new Edu() }], user: 1000 });
    const { kernel } = machine;
    expect([kernel.open(group, 2), kernel.open('/dev/vfio/vfio', 2) > 0]).toEqual([EACCES, true]);
    expect([kernel.files.chown(group, 1000, 1000), kernel.files.chmod(group, 0o666)]).toEqual([-1, -1]);
    expect(kernel.files.writeFile('/sys/bus/pci/drivers_probe', bytes('0000:00:03.0'))).toBe(EACCES);
    machine.user = 0;
    expect(kernel.files.chown(group, 1000, -1)).toBe(0);
    machine.user = 1000;
    expect(kernel.open(group, 2)).toBeGreaterThan(0);
    expect([kernel.files.chmod(group, 0o660), mode(machine, group)]).toEqual([0, '660']);
  });

  it('a node that comes again is of root again', () => {
    const machine = new Machine({ devices: [{ model: new Edu() }] });
    const { files } = machine.kernel;
    expect(files.chmod(group, 0o666)).toBe(0);
    files.writeFile('/sys/bus/pci/drivers/vfio-pci/unbind', bytes('0000:00:03.0'));
    files.writeFile('/sys/bus/pci/devices/0000:00:03.0/driver_override', bytes('vfio-pci'));
    files.writeFile('/sys/bus/pci/drivers_probe', bytes('0000:00:03.0'));
    expect(mode(machine, group)).toBe('600');
  });
});

describe('files that a machine is given', () => {
  const machine = new Machine({ files: { '/proc/cmdline': 'quiet\n', '/etc/deep/er': 'x', '/sys/kernel/iommu_groups': null } });
  const { files } = machine.kernel;

  it('stand beside those it has, in place of them, or hide them', () => {
    expect(new TextDecoder().decode(files.readFile('/proc/cmdline') as Uint8Array)).toBe('quiet\n');
    expect([files.readdir('/etc'), files.readdir('/etc/deep'), files.access('/proc/self/auxv')]).toEqual([['deep'], ['er'], 0]);
    expect([files.access('/sys/kernel/iommu_groups'), files.access('/sys/kernel')]).toEqual([ENOENT, 0]);
  });

  it('keep what is written to them', () => {
    expect(files.writeFile('/etc/deep/er', bytes('more'))).toBe(4);
    expect(new TextDecoder().decode(files.readFile('/etc/deep/er') as Uint8Array)).toBe('more');
  });

  it('are links, too, which lead to those it has', () => {
    const links = {
      '/proc/42/fd/3': { link: '/dev/vfio/vfio' },
      '/proc/42/exe': { link: '../../dev/vfio' },
      '/gone': { link: '/nowhere' },
    };
    const { files: linked } = new Machine({ files: links }).kernel;
    expect([linked.readlink('/proc/42/fd/3'), linked.readdir('/proc/42/exe'), linked.access('/gone')]).toEqual([
      '/dev/vfio/vfio',
      ['vfio'],
      ENOENT,
    ]);
    expect(linked.stat('/proc/42/fd/3')).toMatchObject({ kind: 'character-device', device: '10:196' });
  });

  it('are texts, links or null', () => {
    const wrong = { '/x': 1 } as unknown as Record<string, string>;
    expect(() => new Machine({ files: wrong })).toThrow("Expected a text, { link: 'target' }, or null for files['/x'] but received 1");
  });

  it('have paths', () => {
    expect(() => new Machine({ files: { 'proc/x': '' } })).toThrow("Expected paths like '/proc/cmdline' for files but received 'proc/x'");
  });
});
