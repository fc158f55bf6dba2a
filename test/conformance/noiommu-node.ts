/** Devices without an IOMMU by their own nodes, which Linux 7.3 gives them, and what a driver sees of either way. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa } from '../../lib/abi/iommufd/ioas.js';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_HUGE_2MB, MAP_POPULATE, MAP_PRIVATE, O_RDWR } from '../../lib/abi/system.js';
import { Cdev, findDevice, findDevices, Iommufd, openDevice, physicalAddress, type Ioas, type OpenDevice } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

type Memory = Mapping & { readonly memory: ArrayBuffer };

const page = 4096n;
const hugePage = 0x20_0000n;
const top = 0xffff_ffff_ffff_ffffn;
const anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
const deviceMemory = 0x4_0000n;

export function noIommuNode(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let mapped: Memory[];
  const newer = (): boolean => subject.version === '7.3';
  const device = (index: number): ReturnType<typeof findDevice> => {
    const found = findDevices(subject.kernel, { vendor: 0x1234, device: 0x11e8 })[index];
    if (found === undefined) throw new Error('The machine lacks two edu devices');
    return found;
  };
  const map = (size: bigint, flags = 0): Memory => {
    const mapping = subject.kernel.mmap(-1, Number(size), 3, anonymous | flags, 0);
    if (typeof mapping === 'number') throw new Error(`mmap: ${answer(mapping)}`);
    mapped.push(mapping as Memory);
    return mapping as Memory;
  };
  const mapHuge = (size = hugePage): Memory => map(size, MAP_HUGETLB | MAP_HUGE_2MB | MAP_POPULATE);

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    mapped = [];
    const reserved = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';
    if (variant.real) subject.kernel.files.writeFile(reserved, new TextEncoder().encode('8'));
  });
  afterEach(() => {
    seam.closeAll();
    for (const mapping of mapped) mapping.unmap();
  });

  it('a device is listed among those of VFIO, and newer kernels give it a node that says what it is', () => {
    const { kernel } = subject;
    const { address, node, noIommu } = device(0);
    const folder = `/sys/bus/pci/devices/${address}/vfio-dev`;
    const names = kernel.files.readdir(folder);
    expect(noIommu).toBe(true);
    expect(names).toEqual([expect.stringMatching(newer() ? /^noiommu-vfio\d+$/ : /^vfio\d+$/)]);
    expect(kernel.files.access(`${folder}/${String(names)}/dev`) === 0).toBe(newer());
    expect(node).toBe(newer() ? `/dev/vfio/devices/${String(names)}` : undefined);
  });

  it('openDevice takes the node where there is one, and says what it means', () => {
    const { address, node } = device(0);
    using opened = openDevice(subject.kernel, address, { unsafeNoIommu: true });
    const meaning = 'No IOMMU stands between the device and memory: it can read and overwrite all memory of the machine.';
    expect([opened.way, opened.reason]).toEqual(
      newer()
        ? ['node', `The kernel has ${node} and /dev/iommu, and lets them be opened. ${meaning}`]
        : ['group', `The kernel gave the device no node of its own. ${meaning}`],
    );
    opened.close();
    using grouped = openDevice(subject.kernel, address, { by: 'group', unsafeNoIommu: true });
    expect(grouped.way).toBe('group');
  });

  it('no way leads to it that was not asked for by name', () => {
    for (const by of ['node', 'group'] as const)
      expect(() => openDevice(subject.kernel, device(0).address, { by })).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU' }));
    if (newer()) return;
    expect(() => openDevice(subject.kernel, device(0).address, { by: 'node', unsafeNoIommu: true })).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_NO_NODE' }),
    );
  });

  describe('at the seam', () => {
    let iommufd: Iommufd;
    let space: Ioas;

    beforeEach(() => {
      iommufd = Iommufd.open(subject.kernel);
      space = iommufd.createIoas();
    });
    afterEach(() => iommufd.close());

    /** The address and the length. */
    const physical = (fields: Readonly<Record<string, number | bigint>>): string => {
      const request = iommu_ioas_noiommu_get_pa.create();
      Object.assign(request, { size: iommu_ioas_noiommu_get_pa.size, ioas_id: space.id, length: page, ...fields });
      const result = subject.kernel.ioctl(iommufd.fd, IOMMU_IOAS_NOIOMMU_GET_PA.number, request.bytes);
      return result === 0 ? `0x${request.out_phys.toString(16)} ${request.length}` : answer(result);
    };
    const words = (address: bigint, length: bigint): string => `0x${address.toString(16)} ${length}`;

    it('NOIOMMU_GET_PA checks its arguments, then the address space, then what is attached', () => {
      const { memory } = map(page);
      new Uint8Array(memory)[0] = 1;
      const iova = space.map({ iova: 0x10_0000n, address: subject.kernel.addressOf(memory), size: page });
      const all = (answers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
        newer() ? answers : Object.fromEntries(Object.keys(answers).map((name) => [name, 'ENOTTY']));
      const asked = (): Readonly<Record<string, string>> => ({
        flags: physical({ flags: 1, length: 0n }),
        reserved: physical({ __reserved: 1, length: 0n }),
        nothing: physical({ length: 0n, iova: top }),
        beyond: physical({ iova: top, ioas_id: 77 }),
        space: physical({ ioas_id: 77, iova }),
        unmapped: physical({ iova: iova + page }),
        last: physical({ iova: top - 1n }),
        mapped: physical({ iova }),
      });
      const refused = {
        ...{ flags: 'EOPNOTSUPP', reserved: 'EOPNOTSUPP', nothing: 'EINVAL', beyond: 'EOVERFLOW', space: 'ENOENT' },
        ...{ unmapped: 'ENOENT', last: 'ENOENT' },
      };
      expect(asked()).toEqual(all({ ...refused, mapped: 'EOPNOTSUPP' }));
      if (!newer()) return expect(() => space.physicalAddress({ iova, size: page })).toThrow(/^ENOTTY: .*needs Linux 7\.3/);
      Cdev.open(iommufd, device(0)).attach(space);
      expect(asked()).toEqual({ ...refused, mapped: words(physicalAddress(subject.kernel, memory), page) });
      expect(() => space.physicalAddress({ iova: iova + page, size: page })).toThrow(/^ENOENT: .*Nothing is mapped there/);
    });

    it('tells where memory lies, as far as it goes on in one piece', () => {
      if (!newer()) return expect(device(0).node).toBeUndefined();
      const { kernel } = subject;
      const cdev = Cdev.open(iommufd, device(0));
      cdev.attach(space);
      expect([space.ranges(), space.alignment()]).toEqual([[{ start: 0n, last: top }], page]);
      const huge = mapHuge().memory;
      const start = physicalAddress(kernel, huge);
      const iova = space.map({ address: kernel.addressOf(huge), size: hugePage });
      expect(start % hugePage).toBe(0n);
      expect(physical({ iova, length: hugePage })).toBe(words(start, hugePage));
      expect(physical({ iova, length: 2n * hugePage })).toBe(words(start, hugePage));
      expect(physical({ iova, length: 1n })).toBe(words(start, 1n));
      expect(physical({ iova: iova + page + 1n, length: top })).toBe(words(start + page + 1n, hugePage - page - 1n));
      expect(physical({ iova: iova + hugePage - 1n })).toBe(words(start + hugePage - 1n, 1n));
      expect(space.physicalAddress({ iova: iova + 5n, size: page })).toEqual({ address: start + 5n, size: page });
      const far = space.map({ iova: top - 0xffffn, address: kernel.addressOf(huge), size: page });
      expect(physical({ iova: far, length: hugePage })).toBe(words(start, page));
      // Pages of ordinary memory, each where it happens to be.
      const { memory } = map(4n * page);
      new Uint8Array(memory).fill(1);
      const scattered = space.map({ address: kernel.addressOf(memory), size: 4n * page });
      for (const at of [0n, 1n, 2n, 3n]) {
        expect(physical({ iova: scattered + at * page + 9n, length: 7n })).toBe(
          words(physicalAddress(kernel, memory, Number(at * page) + 9), 7n),
        );
      }
      const { size } = space.physicalAddress({ iova: scattered, size: 4n * page });
      for (let at = page; at < size; at += page)
        expect(physicalAddress(kernel, memory, Number(at))).toBe(physicalAddress(kernel, memory) + at);
      if (size < 4n * page) expect(physicalAddress(kernel, memory, Number(size))).not.toBe(physicalAddress(kernel, memory) + size);
      cdev.detach();
      expect(physical({ iova })).toBe('EOPNOTSUPP');
    });

    it('several such devices are attached to one address space, and each by itself', () => {
      if (!newer()) return expect(device(1).node).toBeUndefined();
      const [first, second] = [Cdev.open(iommufd, device(0)), Cdev.open(iommufd, device(1))];
      const other = iommufd.createIoas();
      expect([first.id, second.id]).toEqual([2, 3]);
      const table = first.attach(space);
      expect(second.attach(space)).toBe(table);
      expect(second.attach(other)).not.toBe(table);
      second.detach();
      expect(other.alignment()).toBe(1n);
    });

    it('is used by its node or through its group', () => {
      if (!newer()) return expect(device(0).node).toBeUndefined();
      const { node, group } = device(0);
      const file = seam.open(`/dev/vfio/noiommu-${group}`);
      expect(() => Cdev.open(iommufd, device(0))).toThrow(/^EBUSY/);
      seam.close(file);
      using cdev = Cdev.open(iommufd, device(0));
      expect(answer(seam.open(`/dev/vfio/noiommu-${group}`))).toBe('EBUSY');
      expect(cdev.region(0).mmio.read32(0)).toBe(0x0100_00ed);
      expect(seam.open(node ?? '')).toBeGreaterThan(0);
    });
  });

  describe.each(['node', 'group'] as const)('a driver that opened it by its %s', (by) => {
    let opened: OpenDevice | undefined;
    afterEach(() => opened?.close());
    /** Undefined where the kernel has no such way. */
    const open = (): OpenDevice | undefined =>
      (opened = by === 'node' && !newer() ? undefined : openDevice(subject.kernel, device(0).address, { by, unsafeNoIommu: true }));

    it('finds the addresses that the device needs in its buffers, and bytes move', async () => {
      const { dma, device: edu } = open() ?? {};
      if (dma === undefined || edu === undefined) return expect(device(0).node).toBeUndefined();
      const [from, to] = [dma.allocate(100, { write: false }), dma.allocate(9000)];
      expect([from.size, to.size]).toEqual([by === 'node' ? 4096 : Number(hugePage), Number(hugePage)]);
      for (const buffer of [from, to]) expect(buffer.iova).toBe(physicalAddress(subject.kernel, buffer.memory));
      from.bytes.forEach((_, index, bytes) => (bytes[index] = (index * 31) & 0xff));
      edu.enableBusMaster();
      const { mmio } = edu.region(0);
      const [interrupt] = edu.interrupt('msi').enable();
      for (const [source, destination, command] of [
        [from.iova, deviceMemory, 5n],
        [deviceMemory, to.iova + 6000n, 7n],
      ] as const) {
        mmio.write64(0x80, source);
        mmio.write64(0x88, destination);
        mmio.write64(0x90, 2000n);
        mmio.write64(0x98, command);
        await interrupt!.wait({ timeoutMilliseconds: 5000 });
        mmio.write32(0x64, mmio.read32(0x24));
      }
      expect(Buffer.compare(to.bytes.subarray(6000, 8000), from.bytes.subarray(0, 2000))).toBe(0);
    });

    it('has all addresses, in pages', () => {
      const { dma } = open() ?? {};
      if (dma === undefined) return expect(device(0).node).toBeUndefined();
      expect([dma.ranges(), dma.pageSizes()]).toEqual([[{ start: 0n, last: top }], [page]]);
      expect(() => dma.allocate(100, { below: 0xfffn })).toThrow(RangeError);
      expect(() => dma.allocate(0)).toThrow('Expected a positive integer for size but received 0');
      const buffer = dma.allocate(4096);
      buffer.close();
      opened?.close();
      expect(() => dma.allocate(100)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
      expect(() => dma.ranges()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });

    it('maps memory of its own where something keeps that in place and in one piece, at no IOVA of its choice', () => {
      const { dma } = open() ?? {};
      if (dma === undefined) return expect(device(0).node).toBeUndefined();
      const huge = mapHuge().memory;
      const address = subject.kernel.addressOf(huge);
      const noIommu = expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU' });
      expect(() => dma.map({ iova: 0x10_0000n, address, size: hugePage })).toThrow(noIommu);
      if (by === 'group') return expect(() => dma.map({ address, size: hugePage })).toThrow(noIommu);
      const start = dma.map({ address, size: hugePage });
      expect(start).toBe(physicalAddress(subject.kernel, huge));
      expect(dma.unmap({ iova: start, size: hugePage - 1n })).toBe(0n);
      expect(dma.unmap({ iova: start, size: hugePage })).toBe(hugePage);
      expect(dma.unmap({ iova: start, size: hugePage })).toBe(0n);
      expect(() => dma.map({ address, size: hugePage, below: 0xfffn })).toThrow(RangeError);
      const scattered = map(64n * page).memory;
      // Touched in this order, its pages do not follow each other even where free memory does.
      for (const first of [0, 1]) for (let at = first; at < 64; at += 2) new Uint8Array(scattered)[at * Number(page)] = 1;
      const pieces = subject.kernel.addressOf(scattered);
      expect(() => dma.map({ address: pieces, size: 64n * page })).toThrow(
        expect.objectContaining({ code: 'ERR_VFIO_NOT_CONTIGUOUS', message: expect.stringContaining('nr_hugepages') }),
      );
    });
  });
}

export function noRawIoNode(variant: Variant): void {
  it('without CAP_SYS_RAWIO its node does not open, and nobody tells a physical address', () => {
    const { kernel, edu, version } = variant.make();
    const { node } = findDevice(kernel, edu.address);
    expect(answer(kernel.open(node ?? '/dev/vfio/devices/noiommu-vfio0', O_RDWR))).toBe(version === '7.3' ? 'EPERM' : 'ENOENT');
    using iommufd = Iommufd.open(kernel);
    const space = iommufd.createIoas();
    expect(() => space.physicalAddress({ iova: 0n, size: 0n })).toThrow(
      version === '7.3' ? /^EPERM: .*CAP_SYS_RAWIO/ : /^ENOTTY: .*needs Linux 7\.3/,
    );
  });
}
