/** Requests on another thread, through the seam: on the real kernel with what every Linux has, and on the simulated one. */
import { openSync, read as readFile, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info } from '../../lib/abi/vfio/type1.js';
import { audit, Container, fail, native, trace, type Kernel } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

/** How many bytes a file has before its end, as an int. */
const FIONREAD = 0x541b;
const EFD_NONBLOCK = 0x800;

/** A file of the real kernel, 1000 bytes long. */
function file(kernel: Kernel): number {
  const fd = kernel.memfd('async', 1000, 0);
  closing.push(() => kernel.close(fd));
  return fd;
}
/** Detaches the memory. */
const moveAway = ({ buffer }: Uint8Array): ArrayBuffer => structuredClone(buffer as ArrayBuffer, { transfer: [buffer as ArrayBuffer] });
const int = (bytes: Uint8Array): number => new DataView(bytes.buffer).getInt32(0, true);

describe('on the real kernel', () => {
  const kernel = native();

  it('puts back what the kernel left in the struct', async () => {
    const bytes = new Uint8Array(4);
    const call = kernel.ioctlAsync(file(kernel), FIONREAD, bytes);
    expect(int(bytes)).toBe(0);
    expect([await call, int(bytes)]).toEqual([0, 1000]);
  });

  it('an error is its answer', async () => {
    const never = 0x3fff_ffff;
    expect(await kernel.ioctlAsync(never, FIONREAD, new Uint8Array(4))).toBe(-errno.EBADF);
    expect(await kernel.ioctlAsync(file(kernel), FIONREAD, new Uint8Array(4), never)).toBe(-errno.EBADF);
    expect(await kernel.ioctlAsync(file(kernel), 0x3b65, new Uint8Array(0))).toBe(-errno.ENOTTY);
  });

  it('many at once each have their own answer', async () => {
    const fds = Array.from({ length: 40 }, (_, index) => {
      const fd = kernel.memfd('one of many', index + 1, 0);
      closing.push(() => kernel.close(fd));
      return fd;
    });
    const structs = fds.map(() => new Uint8Array(4));
    await Promise.all(fds.map((fd, index) => kernel.ioctlAsync(fd, FIONREAD, structs[index]!)));
    expect(structs.map(int)).toEqual(fds.map((_, index) => index + 1));
  });

  /** Keeps all threads busy until it is called, so that what is asked meanwhile has to wait. */
  function block(): () => Promise<void> {
    const readers = Array.from({ length: Number(process.env['UV_THREADPOOL_SIZE'] ?? 4) }, () => {
      const fd = kernel.eventfd(0, 0);
      return { fd, done: promisify(readFile)(fd, { buffer: new Uint8Array(8) }) };
    });
    return async () => {
      for (const { fd } of readers) writeSync(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
      await Promise.all(readers.map(({ done }) => done));
      for (const { fd } of readers) kernel.close(fd);
    };
  }

  it('fds that are closed meanwhile are not those of others', async () => {
    const release = block();
    const fd = kernel.memfd('closed meanwhile', 1000, 0);
    const holding = kernel.eventfd(0, EFD_NONBLOCK);
    const bytes = new Uint8Array(4);
    const call = kernel.ioctlAsync(fd, FIONREAD, bytes, holding);
    kernel.close(fd);
    kernel.close(holding);
    const other = openSync('/dev/null', 'r');
    closing.push(() => kernel.close(other));
    await release();
    expect([await call, int(bytes)]).toEqual([0, 1000]);
  });

  it('a struct that is gone meanwhile stays as it is', async () => {
    const release = block();
    const bytes = new Uint8Array(4);
    const call = kernel.ioctlAsync(file(kernel), FIONREAD, bytes);
    const moved = new Uint8Array(moveAway(bytes));
    await release();
    expect([await call, bytes.length, int(moved)]).toEqual([0, 0, 0]);
  });

  it('the kernel is given a copy: writing the struct meanwhile changes nothing', async () => {
    const release = block();
    const bytes = new Uint8Array(4).fill(1);
    const call = kernel.ioctlAsync(file(kernel), FIONREAD, bytes);
    bytes.fill(9);
    await release();
    expect([await call, int(bytes)]).toEqual([0, 1000]);
  });
});

describe('on the simulated kernel', () => {
  const open = (kernel: Kernel): Container => {
    const container = Container.open(kernel);
    closing.push(() => container.close());
    container.openGroup(0);
    container.setIommu();
    return container;
  };
  const machine = (): Machine => new Machine({ devices: [{ model: new Edu() }] });
  const asked = (): ReturnType<typeof vfio_iommu_type1_info.create> => Object.assign(vfio_iommu_type1_info.create(), { argsz: 24 });

  it('answers a turn of the loop later, and then is the struct what it became', async () => {
    const { kernel } = machine();
    const container = open(kernel);
    const info = asked();
    const call = kernel.ioctlAsync(container.fd, VFIO_IOMMU_GET_INFO.number, info.bytes);
    await Promise.resolve();
    expect(info.iova_pgsizes).toBe(0n);
    expect([await call, info.iova_pgsizes > 0n]).toEqual([0, true]);
  });

  it('a detached struct stays so', async () => {
    const { kernel } = machine();
    const container = open(kernel);
    const { bytes } = asked();
    const call = kernel.ioctlAsync(container.fd, VFIO_IOMMU_GET_INFO.number, bytes);
    moveAway(bytes);
    expect([await call, bytes.length]).toEqual([0, 0]);
  });

  it('fds that are not open are EBADF', async () => {
    const { kernel } = machine();
    const container = open(kernel);
    expect(await kernel.ioctlAsync(5, VFIO_IOMMU_GET_INFO.number, asked().bytes)).toBe(-errno.EBADF);
    expect(await kernel.ioctlAsync(container.fd, VFIO_IOMMU_GET_INFO.number, asked().bytes, 5)).toBe(-errno.EBADF);
  });

  it('is an ioctl to a trace, which shows what the struct became', async () => {
    const lines: string[] = [];
    const kernel = trace(machine().kernel, ({ text }) => lines.push(text));
    const container = open(kernel);
    lines.length = 0;
    await kernel.ioctlAsync(container.fd, VFIO_IOMMU_GET_INFO.number, asked().bytes);
    expect(lines).toEqual([expect.stringMatching(/^ioctl\(\d+, VFIO_IOMMU_GET_INFO, .* => .*iova_pgsizes=0x.* = 0$/)]);
  });

  it('can be made to fail, before it is made or after', async () => {
    for (const made of [false, true]) {
      const kernel = fail(machine().kernel, { on: VFIO_IOMMU_GET_INFO, errno: 'EIO', made });
      const container = open(kernel);
      const info = asked();
      expect(await kernel.ioctlAsync(container.fd, VFIO_IOMMU_GET_INFO.number, info.bytes)).toBe(-errno.EIO);
      expect(info.iova_pgsizes > 0n).toBe(made);
    }
  });

  it('what it maps is accounted for, unless its file is closed by then', async () => {
    const kernel = audit(machine().kernel);
    const container = open(kernel);
    const buffer = container.allocate(4096);
    const address = kernel.addressOf(buffer.memory);
    await container.mapAsync({ iova: 0x20_0000n, address, size: 4096n });
    expect(kernel.held().filter(({ what }) => what === 'IOVAs')).toHaveLength(2);
    const late = container.mapAsync({ iova: 0x30_0000n, address, size: 4096n });
    container.close();
    await expect(late).rejects.toThrow('closed');
    expect(kernel.held()).toEqual([]);
  });
});
