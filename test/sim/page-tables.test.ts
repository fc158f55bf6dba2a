/** Nested translation and dirty pages on a simulated machine whose IOMMU has them, seen by a device's DMA. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
} from '../../lib/abi/iommufd/hwpt.js';
import { Cdev, findDevices, Iommufd, type DmaBuffer, type Ioas, type NestedPageTable, type PageTable } from '../../lib/index.js';
import { Edu, Machine, type KernelVersion } from '../../lib/sim/index.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';

const present = 1n;
const writable = 2n;
const user = 4n;
const accessed = 1n << 5n;
const dirty = 1n << 6n;
const all = present | writable | user;
/** Where the guest has its page, and what it sees there. */
const guestPage = 0x40_0000n;

describe.each(['6.12', '7.3'] satisfies KernelVersion[])('Linux %s', (kernel) => {
  let machine: Machine;
  let iommufd: Iommufd;
  let device: Cdev;
  let space: Ioas;
  let parent: PageTable;

  beforeEach(() => {
    machine = new Machine({ kernel, iommuFeatures: ['nesting', 'dirtyTracking', 'pasids'], devices: [{ model: new Edu() }] });
    iommufd = Iommufd.open(machine.kernel);
    device = Cdev.open(iommufd, findDevices(machine.kernel, { vendor: 0x1234, device: 0x11e8 })[0]!);
    space = iommufd.createIoas();
    parent = space.createPageTable(device, { nestParent: true, dirtyTracking: true });
    device.enableBusMaster();
  });
  afterEach(() => iommufd.close());

  /** The device copies eight bytes between memory and its own buffer: 1 to it, 3 from it. False when that was a fault. */
  const transfer = (iova: bigint, command: 1n | 3n): boolean => {
    const before = machine.faults.length;
    const registers = device.region(0).mmio;
    registers.write64(0x80, command === 1n ? iova : 0x4_0000n);
    registers.write64(0x88, command === 1n ? 0x4_0000n : iova);
    registers.write64(0x90, 8n);
    registers.write64(0x98, command);
    // Looking at the machine is what lets its time pass.
    while ((registers.read32(0x98) & 1) === 1);
    return machine.faults.length === before;
  };

  it('the hardware says so', () => {
    const { hardware, dirtyTracking, maxPasidLog2 } = iommufd.hardwareInformation(device);
    expect([dirtyTracking, maxPasidLog2]).toEqual([true, 20]);
    if (hardware?.kind !== 'vtd') throw new Error('not VT-d');
    const bit = (position: bigint): bigint => (hardware.extendedCapability >> position) & 1n;
    expect([26n, 43n, 45n, 46n, 47n].map(bit)).toEqual([1n, 1n, 1n, 1n, 1n]);
  });

  describe('a guest\u2019s page table', () => {
    let tables: DmaBuffer;
    let words: BigUint64Array;
    let data: DmaBuffer;
    let other: DmaBuffer;
    let nested: NestedPageTable;

    beforeEach(() => {
      tables = space.allocate(4 * 4096);
      words = new BigUint64Array(tables.memory);
      data = space.allocate(4096);
      other = space.allocate(4096);
      for (let level = 0; level < 3; level += 1)
        words[level * 512 + (level === 2 ? 2 : 0)] = (tables.iova + BigInt(level + 1) * 4096n) | all;
      words[3 * 512] = data.iova | all;
      nested = parent.createNested(device, { kind: 'vtd', root: tables.iova, addressWidth: 48 });
      device.attach(nested);
    });
    const word = (buffer: DmaBuffer, index = 0): bigint => new BigUint64Array(buffer.memory)[index] ?? 0n;

    it('is walked in the memory that the parent maps', () => {
      new BigUint64Array(data.memory)[1] = 0x1234n;
      expect(transfer(guestPage + 8n, 1n)).toBe(true);
      expect(transfer(guestPage + 16n, 3n)).toBe(true);
      expect(word(data, 2)).toBe(0x1234n);
      expect(transfer(0x50_0000n, 1n)).toBe(false);
      expect(machine.faults.at(-1)).toMatchObject({ iova: 0x50_0000n, reason: 'not mapped' });
    });

    it('is told of what was used and written', () => {
      transfer(guestPage, 1n);
      expect((words[3 * 512] ?? 0n) & (accessed | dirty)).toBe(accessed);
      transfer(guestPage, 3n);
      expect((words[3 * 512] ?? 0n) & (accessed | dirty)).toBe(accessed | dirty);
    });

    it('may forbid writing', () => {
      words[3 * 512] = data.iova | present | user;
      expect([transfer(guestPage, 1n), transfer(guestPage, 3n)]).toEqual([true, false]);
      expect(machine.faults.at(-1)).toMatchObject({ reason: 'not writable' });
    });

    it('is cached until it is invalidated', () => {
      transfer(guestPage, 3n);
      words[3 * 512] = other.iova | all;
      new BigUint64Array(other.memory)[0] = 1n;
      new BigUint64Array(data.memory)[0] = 2n;
      transfer(guestPage, 1n);
      transfer(guestPage + 8n, 3n);
      expect(word(data, 1)).toBe(2n);
      nested.invalidate([{ iova: 0n, size: 0x1000n }]);
      transfer(guestPage, 1n);
      transfer(guestPage + 16n, 3n);
      expect([word(data, 2), word(other, 2)]).toEqual([2n, 0n]);
      nested.invalidate([{ iova: guestPage, size: 0x1000n, leafOnly: true }]);
      transfer(guestPage, 1n);
      transfer(guestPage + 24n, 3n);
      expect(word(other, 3)).toBe(1n);
      words[3 * 512] = data.iova | all;
      nested.invalidate();
      transfer(guestPage, 1n);
      transfer(guestPage + 32n, 3n);
      expect(word(data, 4)).toBe(2n);
    });

    it('leads nowhere where the parent has nothing mapped', () => {
      words[3 * 512] = 0x1234_5000n | all;
      expect(transfer(guestPage, 1n)).toBe(false);
      nested.invalidate();
      tables.close();
      expect(transfer(guestPage, 1n)).toBe(false);
    });

    it('has its writes in the dirty pages of the parent', () => {
      using tracking = parent.trackDirtyPages();
      const at = { iova: data.iova, size: 4096n };
      transfer(guestPage, 1n);
      expect(tracking.read(at).count).toBe(0);
      transfer(guestPage, 3n);
      expect([tracking.read(at).count, tracking.read(at).count]).toEqual([1, 0]);
      // The walk wrote the guest's table too.
      expect(tracking.read({ iova: tables.iova, size: 0x4000n }).count).toBeGreaterThan(0);
    });

    it('of an address width that there is not is noticed when a device comes', () => {
      const bytes = new Uint8Array(24);
      new BigUint64Array(bytes.buffer)[1] = tables.iova;
      new DataView(bytes.buffer).setUint32(16, 39, true);
      const wrong = parent.createNested(device, { kind: 'other', type: 1, data: { bytes } });
      expect(() => device.attach(wrong)).toThrow(/^EINVAL/);
      expect(transfer(guestPage, 1n)).toBe(true);
    });

    it('is of VT-d\u2019s type, and of no other', () => {
      expect(() => parent.createNested(device, { kind: 'other', type: 2, data: { bytes: new Uint8Array(24) } })).toThrow(/^EOPNOTSUPP/);
    });

    it('has the extended access bit set where it is wanted', () => {
      const extended = 1n << 10n;
      transfer(guestPage, 1n);
      expect((words[3 * 512] ?? 0n) & extended).toBe(0n);
      device.attach(parent.createNested(device, { kind: 'vtd', root: tables.iova, addressWidth: 48, extendedAccess: true }));
      transfer(guestPage, 1n);
      expect((words[3 * 512] ?? 0n) & extended).toBe(extended);
    });

    it('of an address width that there is not cannot be used with a queue for page requests either', () => {
      const seam = new PageTableSeam(machine.kernel, iommufd.fd);
      const queue = iommufd.createFaultQueue();
      const data = new Uint8Array(24);
      data[16] = 39;
      const flags = IOMMU_HWPT_FAULT_ID_VALID;
      const id = Number(seam.alloc({ dev_id: device.id, pt_id: parent.id, flags, data_type: 1, fault_id: queue.id }, data));
      expect(() => device.attach({ fd: iommufd.fd, id })).toThrow(/^EINVAL/);
      const spaces = new IoasSeam(machine.kernel, iommufd.fd);
      expect(spaces.destroy(id)).toBe('0');
      for (const each of [seam, spaces]) each.close();
    });

    it('entries that VT-d does not know are refused', () => {
      const entry = (addr: bigint, npages: bigint, flags = 0, reserved = 0): { bytes: Uint8Array } => {
        const bytes = new Uint8Array(24);
        new BigUint64Array(bytes.buffer).set([addr, npages]);
        new Uint32Array(bytes.buffer).set([flags, reserved], 4);
        return { bytes };
      };
      const refused = (...entries: { bytes: Uint8Array }[]): unknown => {
        try {
          nested.invalidateEntries(0, entries);
          return 'handled';
        } catch (error) {
          const { code, handled } = error as { code: string; handled: number };
          return `${code} after ${handled}`;
        }
      };
      expect(refused(entry(0n, 1n), entry(1n, 1n))).toBe('EINVAL after 1');
      expect(refused(entry(0x1000n, 0xffff_ffff_ffff_ffffn))).toBe('EINVAL after 0');
      expect(refused(entry(0n, 1n, 2))).toBe('EOPNOTSUPP after 0');
      expect(refused(entry(0n, 1n, 0, 1))).toBe('EOPNOTSUPP after 0');
      expect(refused(entry(0n, 0xffff_ffff_ffff_ffffn, 1))).toBe('handled');
      expect(() => nested.invalidateEntries(1, [])).toThrow(/^EINVAL/);
    });
  });

  it('a page table that others nest on takes nothing that is read-only', () => {
    const memory = machine.kernel.mmap(-1, 4096, 3, 0x22, 0) as { memory: ArrayBuffer };
    const address = machine.kernel.addressOf(memory.memory);
    expect(() => space.map({ iova: 0x10_0000n, address, size: 4096n, write: false })).toThrow(/^EINVAL/);
    const other = iommufd.createIoas();
    other.map({ iova: 0x10_0000n, address, size: 4096n, write: false });
    expect(() => other.createPageTable(device, { nestParent: true })).toThrow(/^EINVAL/);
    other.createPageTable(device);
  });

  it('dirty pages are those that the device writes', () => {
    device.attach(parent);
    const [from, to] = [space.allocate(4096), space.allocate(4096)];
    transfer(to.iova, 3n);
    using tracking = parent.trackDirtyPages();
    transfer(from.iova, 1n);
    transfer(to.iova, 3n);
    expect([tracking.read({ iova: from.iova, size: 4096n }).count, tracking.read({ iova: to.iova, size: 4096n }).count]).toEqual([0, 1]);
  });
});

describe('an IOMMU that knows nothing else', () => {
  it('has page tables that follow an address space, without flags and data', () => {
    const { kernel } = new Machine({ kernel: '6.12', iommu: 'smmuv3', devices: [{ model: new Edu() }] });
    using iommufd = Iommufd.open(kernel);
    const device = Cdev.open(iommufd, findDevices(kernel, { vendor: 0x1234, device: 0x11e8 })[0]!);
    const space = iommufd.createIoas();
    const seam = new PageTableSeam(kernel, iommufd.fd);
    const alloc = (fields: Fields, data?: Uint8Array): string => seam.alloc({ dev_id: device.id, pt_id: space.id, ...fields }, data);
    expect([alloc({ flags: 1 }), alloc({ data_type: 1 }, new Uint8Array(24)), alloc({})]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP', '3']);
    const spaces = new IoasSeam(kernel, iommufd.fd);
    expect(spaces.destroy(3)).toBe('0');
    for (const each of [seam, spaces]) each.close();
  });
});

describe('an AMD machine', () => {
  it('has features of its own', () => {
    const features = ['nesting', 'dirtyTracking', 'pasids'] as const;
    const machine = new Machine({ iommu: 'amd', iommuFeatures: features, devices: [{ model: new Edu() }] });
    using iommufd = Iommufd.open(machine.kernel);
    const device = Cdev.open(iommufd, findDevices(machine.kernel, { vendor: 0x1234, device: 0x11e8 })[0]!);
    expect(iommufd.hardwareInformation(device)).toMatchObject({ type: 4, hardware: { kind: 'amd' }, dirtyTracking: true });
    const seam = new PageTableSeam(machine.kernel, iommufd.fd);
    const asked = [IOMMU_HW_INFO_TYPE_AMD, IOMMU_HW_INFO_TYPE_INTEL_VTD].map((in_data_type) =>
      seam.hardware({ dev_id: device.id, flags: IOMMU_HW_INFO_FLAG_INPUT_TYPE, in_data_type }),
    );
    expect(asked).toEqual([expect.stringMatching(/^type 4 /), 'EOPNOTSUPP']);
    const space = iommufd.createIoas();
    const data = seam.alloc({ dev_id: device.id, pt_id: space.id, data_type: 1 }, new Uint8Array(8));
    expect(data).toBe('EOPNOTSUPP');
    seam.close();
    const parent = space.createPageTable(device, { nestParent: true, dirtyTracking: true });
    space.createPageTable(device, { pasids: true });
    expect(() => space.createPageTable(device, { pasids: true, dirtyTracking: true })).toThrow(/^EOPNOTSUPP/);
    // Its guests' page tables nest on a virtual IOMMU.
    expect(() => parent.createNested(device, { kind: 'amd', deviceTableEntry: [0n, 0n, 0n, 0n] })).toThrow(/^EOPNOTSUPP/);
  });

  it('features that there are not, or on an IOMMU that has none, are refused', () => {
    expect(() => new Machine({ iommuFeatures: ['paging' as 'pasids'] })).toThrow(
      "Expected one of nesting, dirtyTracking, pasids for iommuFeatures but received 'paging'",
    );
    expect(() => new Machine({ iommu: 'virtio', iommuFeatures: ['nesting'] })).toThrow(/with iommuFeatures/);
  });
});
