import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { O_RDWR } from '../../lib/abi/system.js';
import { VFIO_DEVICE_PCI_HOT_RESET } from '../../lib/abi/vfio/reset.js';
import { VFIO_GROUP_GET_DEVICE_FD } from '../../lib/abi/vfio/group.js';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import { audit, fail, openDevice, type Failure } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const machine = (): Machine => new Machine({ devices: [{ model: new Edu() }] });

describe('fail', () => {
  it('fails the n-th request of that kind, and no other', () => {
    const kernel = fail(machine().kernel, { on: VFIO_IOMMU_MAP_DMA, nth: 3, errno: 'ENOMEM' });
    using opened = openDevice(kernel, address, { by: 'group' });
    opened.dma.allocate(4096);
    opened.dma.allocate(4096);
    expect(() => opened.dma.allocate(4096)).toThrow(/^ENOMEM: .*VFIO_IOMMU_MAP_DMA/);
    opened.dma.allocate(4096);
  });

  it('tells requests of one number apart by the file they are made on', () => {
    const kernel = fail(machine().kernel, { on: VFIO_DEVICE_PCI_HOT_RESET, errno: 'EIO' });
    using opened = openDevice(kernel, address, { by: 'group' });
    expect(VFIO_DEVICE_PCI_HOT_RESET.number).toBe(VFIO_IOMMU_MAP_DMA.number);
    opened.dma.allocate(4096);
  });

  it('fails every one without a number', () => {
    const kernel = fail(machine().kernel, { on: 'eventfd', errno: 'EMFILE' });
    expect([kernel.eventfd(0, 0), kernel.eventfd(0, 0), kernel.open('/nowhere', O_RDWR)]).toEqual([
      -errno.EMFILE,
      -errno.EMFILE,
      -errno.ENOENT,
    ]);
  });

  it.each<[Failure['on'], (kernel: ReturnType<typeof fail>) => unknown]>([
    ['open', (kernel) => kernel.open('/dev/vfio/vfio', O_RDWR)],
    ['close', (kernel) => kernel.close(kernel.memfd('', 0, 0))],
    ['ioctl', (kernel) => kernel.ioctl(0, 0)],
    ['read', (kernel) => kernel.read(0, new Uint8Array(8))],
    ['write', (kernel) => kernel.write(0, new Uint8Array(8))],
    ['pread', (kernel) => kernel.pread(0, new Uint8Array(8), 0)],
    ['pwrite', (kernel) => kernel.pwrite(0, new Uint8Array(8), 0)],
    ['mmap', (kernel) => kernel.mmap(-1, 4096, 3, 0x22, 0)],
    ['memfd', (kernel) => kernel.memfd('', 0, 0)],
    ['eventfd', (kernel) => kernel.eventfd(0, 0)],
    ['watch', (kernel) => kernel.watch(kernel.eventfd(0, 0), () => {})],
    ['readFile', ({ files }) => files.readFile('/sys')],
    ['writeFile', ({ files }) => files.writeFile('/sys', new Uint8Array())],
    ['readdir', ({ files }) => files.readdir('/sys')],
    ['readlink', ({ files }) => files.readlink('/sys')],
    ['access', ({ files }) => files.access('/sys')],
    [({ path }) => path === '/sys', ({ files }) => files.access('/sys')],
  ])('%s can fail', (on, call) => {
    expect(call(fail(machine().kernel, { on, errno: 'ENODEV' }))).toBe(-errno.ENODEV);
  });

  it('makes the call all the same where that is wanted, and undoes what nobody hears of', () => {
    const inner = audit(machine().kernel);
    const kernel = fail(inner, { on: 'close', nth: 1, errno: 'EIO', made: true });
    const fd = kernel.eventfd(0, 0);
    expect([kernel.close(fd), kernel.close(fd)]).toEqual([-errno.EIO, -errno.EBADF]);
    const lost = fail(inner, { on: ({ name }) => ['open', 'mmap', 'watch'].includes(name), errno: 'EINTR', made: true });
    lost.open('/dev/vfio/vfio', O_RDWR);
    lost.mmap(-1, 4096, 3, 0x22, 0);
    expect(inner.held()).toEqual([]);
    using opened = openDevice(fail(inner, { on: VFIO_GROUP_GET_DEVICE_FD, nth: 2, errno: 'EINTR', made: true }), address, { by: 'group' });
    opened.close();
    expect(inner.held()).toEqual([]);
  });

  it('stacks', () => {
    const kernel = fail(fail(machine().kernel, { on: 'eventfd', nth: 1, errno: 'EMFILE' }), { on: 'eventfd', nth: 2, errno: 'ENFILE' });
    expect([kernel.eventfd(0, 0), kernel.eventfd(0, 0), kernel.eventfd(0, 0) > 0]).toEqual([-errno.EMFILE, -errno.ENFILE, true]);
  });

  it('refuses what is no error, and no number of a call', () => {
    const { kernel } = machine();
    expect(() => fail(kernel, { on: 'open', errno: 'EWRONG' as 'EIO' })).toThrow(/for errno but received 'EWRONG'/);
    expect(() => fail(kernel, { on: 'open', errno: 'EIO', nth: 0 })).toThrow(/for nth but received 0/);
  });
});
