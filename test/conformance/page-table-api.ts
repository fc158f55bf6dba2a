/** Page tables and what the hardware can do, as users have them, on the machine's own IOMMU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cdev, findDevice, Iommufd, type Ioas } from '../../lib/index.js';
import { eduCopies } from '../support/edu-dma.js';
import type { Subject, Variant } from '../support/subject.js';

export function pageTableApi(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let device: Cdev;
  let space: Ioas;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
    space = iommufd.createIoas();
  });
  afterEach(() => iommufd.close());

  const newer = (): boolean => subject.version === '7.3';

  it('the hardware says what it is and what it can do', () => {
    const { type, bytes, hardware, ...capabilities } = iommufd.hardwareInformation(device);
    expect(capabilities).toEqual({
      ...{ dirtyTracking: false, maxPasidLog2: 0, pasidExecute: false, pasidPrivileged: false },
      lacksAts: newer(),
    });
    if (subject.iommu === 'amd') return expect([type, bytes.byteLength, hardware]).toEqual([0, 0, undefined]);
    expect([type, bytes.byteLength]).toEqual([1, 24]);
    expect(hardware).toEqual({
      ...{ kind: 'vtd', capability: 0x00d2_008c_2226_0286n, extendedCapability: 0xf0_0f4an, parentsAreWritable: true },
    });
  });

  it('a description of another type is one that the driver does not have, or older kernels do not give', () => {
    if (newer() && subject.iommu === 'amd') return expect(iommufd.hardwareInformation(device, 2).type).toBe(0);
    expect(() => iommufd.hardwareInformation(device, 2)).toThrow(/^EOPNOTSUPP: .*IOMMU_GET_HW_INFO.*no description of this type/);
    expect(() => iommufd.hardwareInformation(device, -1)).toThrow('Expected an integer from 0 to 4294967295 for type but received -1');
  });

  it('a device is attached to a page table that was made for it, and reaches what the address space has mapped', async () => {
    const table = space.createPageTable(device);
    expect([table.fd, device.attach(table)]).toEqual([iommufd.fd, table.id]);
    const [from, to] = [space.allocate(4096), space.allocate(4096)];
    from.bytes.fill(0x5a, 0, 64);
    await eduCopies(device, from.iova, to.iova);
    expect(to.bytes.subarray(0, 64)).toEqual(from.bytes.subarray(0, 64));
  });

  it('closing an address space closes its page tables, and closing the file closes all', () => {
    const table = space.createPageTable(device);
    space.close();
    expect(table.closed).toBe(true);
    const other = iommufd.createIoas().createPageTable(device);
    device.attach(other);
    iommufd.close();
    expect([other.closed, device.closed]).toEqual([true, true]);
    expect(() => other.createNested(device, { kind: 'vtd', root: 0n, addressWidth: 48 })).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }),
    );
  });

  describe('what this IOMMU lacks', () => {
    it('is refused with what to look at', () => {
      const refused = /^EOPNOTSUPP: .*IOMMU_HWPT_ALLOC '\/dev\/iommu'\. The IOMMU cannot do it.*hardwareInformation\(\)/;
      expect(() => space.createPageTable(device, { nestParent: true })).toThrow(refused);
      expect(() => space.createPageTable(device, { dirtyTracking: true })).toThrow(refused);
      if (subject.iommu === 'amd' || !newer()) expect(() => space.createPageTable(device, { pasids: true })).toThrow(refused);
      expect(space.ranges()).toEqual([{ start: 0n, last: 0xffff_ffff_ffff_ffffn }]);
    });

    it('a page table that was not made for it has no dirty pages and nothing nested', () => {
      const table = space.createPageTable(device);
      expect(() => table.trackDirtyPages()).toThrow(/^EOPNOTSUPP: .*not made with dirtyTracking/);
      const nested = { kind: 'vtd', root: 0n, addressWidth: 48 } as const;
      expect(() => table.createNested(device, nested)).toThrow(/^(EINVAL|EOPNOTSUPP): .*IOMMU_HWPT_ALLOC/);
      expect(() => table.createVirtualIommu(device, { type: 1 })).toThrow(/^(ENOTTY|EOPNOTSUPP|EINVAL): .*IOMMU_VIOMMU_ALLOC/);
      table.close();
      table.close();
    });
  });

  it('misuse does not reach the kernel', () => {
    const table = space.createPageTable(device);
    const nest = (given: object): unknown => table.createNested(device, { kind: 'vtd', root: 0n, addressWidth: 48, ...given } as never);
    expect(() => nest({ addressWidth: 39 })).toThrow('Expected 48 or 57 for addressWidth but received 39');
    expect(() => nest({ root: -1n })).toThrow('Expected an integer from 0 to 18446744073709551615 for root but received -1');
    expect(() => nest({ root: 1 })).toThrow('Expected a bigint for root but received 1');
    expect(() => nest({ kind: 'riscv' })).toThrow("Expected one of 'vtd', 'smmuv3', 'amd', 'other' for kind but received 'riscv'");
    expect(() => table.createNested(device, { kind: 'smmuv3', streamTableEntry: [1n] as never })).toThrow(
      'Expected 2 words for streamTableEntry but received 1',
    );
    expect(() => table.trackDirtyPages({ pageSize: 3000n })).toThrow('Expected a power of two for pageSize but received 3000');
  });
}
