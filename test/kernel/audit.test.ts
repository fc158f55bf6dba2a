import { describe, expect, it } from 'vitest';
import { O_RDWR } from '../../lib/abi/system.js';
import { audit, Container, Iommufd, MemoryFile, openDevice, type AuditedKernel } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const audited = (): AuditedKernel => audit(new Machine({ devices: [{ model: new Edu() }] }).kernel);
const whats = (kernel: AuditedKernel): string[] => kernel.held().map(({ what }) => what);

describe('audit', () => {
  it('says what is open and where the program opened it', () => {
    const kernel = audited();
    const leaking = (): number => kernel.open('/dev/vfio/vfio', O_RDWR);
    const fd = leaking();
    expect(kernel.held()).toEqual([
      { what: 'fd', call: expect.stringMatching(/^open\("\/dev\/vfio\/vfio", RDWR\)/), stack: expect.stringContaining('leaking') },
    ]);
    expect(kernel.held()[0]!.stack).not.toMatch(/kernel\/(audit|around)\.ts/);
    kernel.close(fd);
    expect(kernel.held()).toEqual([]);
  });

  it.each(['node', 'group', 'compatibility'] as const)('finds nothing after a device was used and closed by its %s', (by) => {
    const kernel = audited();
    const opened = openDevice(kernel, address, { by });
    opened.dma.allocate(8192);
    opened.device.region(0);
    opened.device.interrupt('intx').enable();
    expect(new Set(whats(kernel))).toEqual(new Set(['fd', 'mapping', 'watch', 'IOVAs', ...(by === 'node' ? ['object'] : [])]));
    opened.close();
    expect(kernel.held()).toEqual([]);
  });

  it('forgets IOVAs that are unmapped, by a range around them too, and those of an address space that is destroyed', () => {
    const kernel = audited();
    using iommufd = Iommufd.open(kernel);
    const space = iommufd.createIoas();
    const other = iommufd.createIoas();
    const file = MemoryFile.create(kernel, 0x4000);
    const map = (iova: bigint): void => {
      space.mapFile({ fd: file.fd, iova, size: 0x1000n });
      other.copyFrom(space, { from: iova, size: 0x1000n, iova });
    };
    map(0x10_0000n);
    map(0x10_1000n);
    const ranges = (): number => whats(kernel).filter((what) => what === 'IOVAs').length;
    expect(ranges()).toBe(4);
    space.unmap({ iova: 0x10_0000n, size: 0x2000n });
    expect(ranges()).toBe(2);
    other.close();
    expect(ranges()).toBe(0);
    file.close();
  });

  it('counts what goes with an fd as gone with it', () => {
    const kernel = audited();
    const container = Container.open(kernel);
    container.openGroup(0);
    container.setIommu();
    const mapping = kernel.mmap(-1, 4096, 3, 0x22, 0);
    if (typeof mapping === 'number') throw new Error(`mmap answered ${mapping}`);
    container.map({ iova: 0x1000n, address: kernel.addressOf(mapping.memory!), size: 4096n });
    expect(whats(kernel)).toContain('IOVAs');
    container.close();
    expect(whats(kernel)).toEqual(['mapping']);
    mapping.unmap();
    expect(kernel.held()).toEqual([]);
  });
});
