/** Kernels around a kernel: what a driver asks is told, fails when it is to, and is accounted for, on a real kernel as on a simulated one. */
import { beforeEach, expect, it } from 'vitest';
import { VFIO_DEVICE_SET_IRQS } from '../../lib/abi/vfio/irq.js';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import { audit, fail, openDevice, trace, type OpenWay, type TracedCall } from '../../lib/index.js';
import type { Subject, Variant } from '../support/subject.js';

export function around(variant: Variant): void {
  let subject: Subject;
  let address: string;

  beforeEach(() => {
    subject = variant.make();
    address = subject.edu.address;
  });

  /** The requests of a whole life of a device, with their answers; fds and addresses by what they are. */
  function lifeBy(by: OpenWay): string[] {
    const calls: TracedCall[] = [];
    using opened = openDevice(
      trace(subject.kernel, (call) => calls.push(call)),
      address,
      { by },
    );
    const buffer = opened.dma.allocate(4096);
    opened.device.interrupt('msi').enable();
    buffer.close();
    opened.close();
    expect(calls.filter(({ name, request }) => name === 'ioctl' && request === undefined)).toEqual([]);
    return calls
      .filter(({ name }) => name === 'ioctl')
      .map(({ kind, request, result }) => `${kind} ${request?.name} = ${result > 0 ? 'positive' : result}`);
  }

  it('a trace names every request of a device opened by its group', () => {
    expect(lifeBy('group')).toEqual(
      expect.arrayContaining([
        'group VFIO_GROUP_SET_CONTAINER = 0',
        'container VFIO_SET_IOMMU = 0',
        'group VFIO_GROUP_GET_DEVICE_FD = positive',
        'container VFIO_IOMMU_MAP_DMA = 0',
        'device VFIO_DEVICE_SET_IRQS = 0',
        'container VFIO_IOMMU_UNMAP_DMA = 0',
      ]),
    );
  });

  it('a trace names every request of a device opened by its node', () => {
    expect(lifeBy('node')).toEqual(
      expect.arrayContaining([
        'device VFIO_DEVICE_BIND_IOMMUFD = 0',
        'iommufd IOMMU_IOAS_ALLOC = 0',
        'device VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0',
        'iommufd IOMMU_IOAS_MAP = 0',
        'iommufd IOMMU_IOAS_UNMAP = 0',
      ]),
    );
  });

  it('a call that is to fail fails, and nothing is left of what went before it', () => {
    const kernel = audit(
      fail(fail(subject.kernel, { on: VFIO_IOMMU_MAP_DMA, nth: 2, errno: 'ENOMEM' }), { on: VFIO_DEVICE_SET_IRQS, nth: 1, errno: 'EIO' }),
    );
    const opened = openDevice(kernel, address, { by: 'group' });
    opened.dma.allocate(4096);
    expect(() => opened.dma.allocate(4096)).toThrow(/^ENOMEM: .*VFIO_IOMMU_MAP_DMA/);
    expect(() => opened.device.interrupt('msi').enable()).toThrow(/^EIO: .*VFIO_DEVICE_SET_IRQS/);
    opened.device.interrupt('msi').enable();
    expect(kernel.held().map(({ what }) => what)).toEqual(['fd', 'fd', 'fd', 'mapping', 'IOVAs', 'fd', 'watch']);
    opened.close();
    expect(kernel.held()).toEqual([]);
  });

  it('every call of a device fails once, whichever way it is opened, and leaves nothing', () => {
    for (const by of ['node', 'group', 'compatibility'] as const) {
      for (let nth = 1, met = nth; met >= nth; nth += 1) {
        met = 0;
        const kernel = audit(
          fail(subject.kernel, {
            on: ({ name }) => name !== 'close' && (met += 1) === nth,
            errno: 'EIO',
          }),
        );
        let error: unknown;
        try {
          using opened = openDevice(kernel, address, { by });
          opened.dma.allocate(4096);
          opened.device.interrupt('msi').enable();
        } catch (thrown) {
          error = thrown;
        }
        expect([by, nth, kernel.held()]).toEqual([by, nth, []]);
        expect(error === undefined || (error instanceof Error && !(error instanceof TypeError))).toBe(true);
      }
    }
  });
}
