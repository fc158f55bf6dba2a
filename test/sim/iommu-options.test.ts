/** An IOMMU of a user's own: its limits show everywhere that a real one's do. */
import { describe, expect, it } from 'vitest';
import { Cdev, findDevice, Iommufd, openDevice, type Container } from '../../lib/index.js';
import { Edu, Machine, type IommuOptions } from '../../lib/sim/index.js';

const page = 4096n;
const address = '0000:00:03.0';
const window = { start: 0xfee0_0000n, last: 0xfeef_ffffn, type: 'msi' } as const;
const firmware = { start: 0x1000_0000n, last: 0x1000_ffffn, type: 'direct' } as const;

function machineOf(iommu: IommuOptions): Machine {
  return new Machine({ iommu, devices: [{ model: new Edu(), group: 4 }] });
}

describe('an IOMMU with options', () => {
  it('has that aperture, those pages and those holes, in a container and an address space', () => {
    const { kernel } = machineOf({ kind: 'intel', addressBits: 48, pageSizes: [page, 0x20_0000n], reserved: [firmware, window] });
    const ranges = [
      { start: 0n, last: firmware.start - 1n },
      { start: firmware.last + 1n, last: window.start - 1n },
      { start: window.last + 1n, last: 2n ** 48n - 1n },
    ];
    {
      using opened = openDevice(kernel, address, { by: 'group' });
      const container = opened.dma as Container;
      expect(container.info().ranges).toEqual(ranges);
      expect(container.pageSizes()).toEqual([page, 0x20_0000n]);
      const memory = { address: kernel.addressOf(container.allocate(4096).memory), size: page };
      expect(container.map({ ...memory, iova: 2n ** 48n - page })).toBe(2n ** 48n - page);
      for (const iova of [2n ** 48n, firmware.start, window.last + 1n - page])
        expect(() => container.map({ ...memory, iova })).toThrow(/^EINVAL/);
    }
    using iommufd = Iommufd.open(kernel);
    const device = Cdev.open(iommufd, findDevice(kernel, address));
    const space = iommufd.createIoas();
    device.attach(space);
    expect(space.ranges()).toEqual(ranges);
    const information = iommufd.hardwareInformation(device);
    const capabilities = new BigUint64Array(information.bytes.slice().buffer)[1]!;
    // Addresses of 48 bits, by four levels; pages of 2 MiB, none of 1 GiB.
    expect([(capabilities >> 16n) & 0x3fn, (capabilities >> 8n) & 0x1fn, (capabilities >> 34n) & 0xfn]).toEqual([47n, 4n, 1n]);
    const listed = kernel.files.readFile('/sys/kernel/iommu_groups/4/reserved_regions');
    expect(new TextDecoder().decode(listed as Uint8Array)).toBe(
      '0x0000000010000000 0x000000001000ffff direct\n0x00000000fee00000 0x00000000feefffff msi\n',
    );
  });

  it('with larger pages takes no smaller mapping', () => {
    const { kernel } = machineOf({ kind: 'smmuv3', pageSizes: [0x1_0000n, 0x2000_0000n] });
    using opened = openDevice(kernel, address, { by: 'group' });
    const buffer = opened.dma.allocate(4096);
    expect(buffer.size).toBe(0x1_0000);
    const start = kernel.addressOf(buffer.memory);
    expect(() => opened.dma.map({ iova: 0x100_0000n, address: start, size: page })).toThrow(/^EINVAL/);
  });

  it('is coherent, and isolates interrupts, or is not and does not', () => {
    const coherent = (enforcesCoherency: boolean): number => {
      using opened = openDevice(machineOf({ kind: 'intel', enforcesCoherency }).kernel, address, { by: 'group' });
      return (opened.dma as Container).checkExtension(4);
    };
    expect([coherent(true), coherent(false)]).toEqual([1, 0]);
    const unsafe = machineOf({ kind: 'amd', isolatesInterrupts: false });
    for (const by of ['group', 'node'] as const) expect(() => openDevice(unsafe.kernel, address, { by })).toThrow(/^EPERM/);
    openDevice(machineOf({ kind: 'virtio', isolatesInterrupts: true }).kernel, address, { by: 'group' }).close();
  });

  it('that there cannot be is refused by the name of what is wrong', () => {
    for (const [options, name] of [
      [{ kind: 'none', addressBits: 32 }, 'iommu.kind'],
      [{ kind: 'spapr', addressBits: 32 }, 'iommu.kind'],
      [{ kind: 'intel', addressBits: 65 }, 'iommu.addressBits'],
      [{ kind: 'intel', addressBits: 11 }, 'iommu.addressBits'],
      [{ kind: 'intel', addressBits: 47.5 }, 'iommu.addressBits'],
      [{ kind: 'intel', pageSizes: [] }, 'iommu.pageSizes'],
      [{ kind: 'intel', pageSizes: [4097n] }, 'iommu.pageSizes'],
      [{ kind: 'intel', pageSizes: [2048n] }, 'iommu.pageSizes'],
      [{ kind: 'intel', pageSizes: [4096] }, 'iommu.pageSizes'],
      [{ kind: 'amd', reserved: [{ start: 1n, last: 0xfffn, type: 'reserved' }] }, 'iommu.reserved'],
      [{ kind: 'amd', reserved: [{ start: 0n, last: 0x1000n, type: 'reserved' }] }, 'iommu.reserved'],
      [{ kind: 'amd', reserved: [{ start: 0x2000n, last: 0xfffn, type: 'reserved' }] }, 'iommu.reserved'],
    ] as const)
      expect(() => new Machine({ iommu: options as never })).toThrow(`for ${name} but`);
    expect(() => new Machine({ kernel: '6.1', container: 'iommufd' })).toThrow('for container but');
  });
});
