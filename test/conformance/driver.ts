/** The typed API and the device together: what a driver does, on every kernel. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice, type OpenDevice, type OpenWay } from '../../lib/open.js';
import { bindDriver, findDevice, groupDevices } from '../../lib/pci/index.js';
import type { Interrupt } from '../../lib/vfio/interrupt.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';

const deviceMemory = 0x4_0000n;
const below = 0xfff_ffffn;
const timeoutMilliseconds = 5000;

export function driver(variant: Variant): void {
  describe.each(hasNodes(variant) ? (['node', 'group'] as const) : (['group'] as const))('opened by %s', (way) =>
    driverOpenedBy(variant, way));
}

function driverOpenedBy(variant: Variant, by: OpenWay): void {
  let subject: Subject;
  let opened: OpenDevice;

  beforeEach(() => {
    subject = variant.make();
    opened = openDevice(subject.kernel, subject.edu.address, { by });
    opened.device.region(0).mmio.write32(0x20, 0);
    opened.device.region(0).mmio.write32(0x64, 0xffff_ffff);
  });
  afterEach(() => opened.close());

  const served = async (interrupt: Interrupt): Promise<number> => {
    const { mmio } = opened.device.region(0);
    await interrupt.wait({ timeoutMilliseconds });
    const reasons = mmio.read32(0x24);
    mmio.write32(0x64, reasons);
    return reasons;
  };

  describe.each(['msi', 'intx'] as const)('by %s', (kind) => {
    let interrupt: Interrupt;
    beforeEach(() => {
      opened.device.enableBusMaster();
      interrupt = opened.device.interrupt(kind).enable()[0]!;
    });

    it('the factorial is computed and announced, again and again', async () => {
      const { mmio } = opened.device.region(0);
      mmio.write32(0x20, 0x80);
      for (const [operand, result] of [
        [5, 120],
        [10, 3628800],
        [12, 479001600],
        [13, 1932053504],
      ] as const) {
        mmio.write32(0x08, operand);
        expect(await served(interrupt)).toBe(1);
        expect(mmio.read32(0x08)).toBe(result);
      }
    });

    it('bytes go into the device and come back, every one', async () => {
      const { mmio } = opened.device.region(0);
      const source = opened.dma.allocate(8192, { below, write: false });
      const target = opened.dma.allocate(8192, { below, read: false });
      source.bytes.forEach((_, index, bytes) => (bytes[index] = (index * 31 + (index >> 8)) & 0xff));
      // Across a page boundary, and off any alignment.
      const [length, offset] = [3001, 3333];
      for (const [from, to, command] of [
        [source.iova + BigInt(offset), deviceMemory + 5n, 0b101n],
        [deviceMemory + 5n, target.iova + BigInt(offset), 0b111n],
      ] as const) {
        mmio.write64(0x80, from);
        mmio.write64(0x88, to);
        mmio.write64(0x90, BigInt(length));
        mmio.write64(0x98, command);
        expect(await served(interrupt)).toBe(0x100);
      }
      expect(Buffer.compare(target.bytes.subarray(offset, offset + length), source.bytes.subarray(offset, offset + length))).toBe(0);
      expect(target.bytes.subarray(0, offset).every((byte) => byte === 0)).toBe(true);
      expect(target.bytes.subarray(offset + length).every((byte) => byte === 0)).toBe(true);
    });

    it('what may only be read is not written', async () => {
      const { mmio } = opened.device.region(0);
      const buffer = opened.dma.allocate(4096, { below, write: false });
      buffer.bytes.fill(0x5a);
      mmio.write64(0x80, deviceMemory);
      mmio.write64(0x88, buffer.iova);
      mmio.write64(0x90, 64n);
      mmio.write64(0x98, 0b111n);
      expect(await served(interrupt)).toBe(0x100);
      expect(buffer.bytes.every((byte) => byte === 0x5a)).toBe(true);
    });

    it('after a buffer is closed the device no longer reaches its memory', async () => {
      const { mmio } = opened.device.region(0);
      const gone = opened.dma.allocate(4096, { below });
      const { iova } = gone;
      gone.close();
      const next = opened.dma.allocate(4096, { below: below - 0x10_0000n });
      next.close();
      mmio.write64(0x80, deviceMemory);
      mmio.write64(0x88, iova);
      mmio.write64(0x90, 64n);
      mmio.write64(0x98, 0b111n);
      // The IOMMU refused; the device, which does not look, says that it is done.
      expect(await served(interrupt)).toBe(0x100);
    });
  });

  it('many buffers come and go and leave no mapping behind', () => {
    const lines = (): number => (process.platform === 'linux' ? readFileSync('/proc/self/maps', 'utf8').split('\n').length : 0);
    const round = (): void => {
      const buffers = Array.from({ length: 64 }, () => opened.dma.allocate(1 << 16, { below }));
      for (const buffer of buffers) buffer.close();
    };
    round();
    const before = lines();
    for (let rounds = 0; rounds < 10; rounds += 1) round();
    // 640 mappings came and went; the engine's own heap accounts for a few.
    expect(lines() - before).toBeLessThan(200);
  });

  it('a device is given back to no driver and taken again', () => {
    opened.close();
    const { kernel } = subject;
    const { address } = subject.edu;
    expect(findDevice(kernel, address)).toMatchObject({ vendor: 0x1234, device: 0x11e8, driver: 'vfio-pci', group: subject.edu.group });
    expect(groupDevices(kernel, subject.edu.group).map((device) => device.address)).toEqual([address]);
    kernel.files.writeFile('/sys/bus/pci/drivers/vfio-pci/unbind', new TextEncoder().encode(address));
    kernel.files.writeFile(`/sys/bus/pci/devices/${address}/driver_override`, new TextEncoder().encode('\n'));
    expect(findDevice(kernel, address).driver).toBeUndefined();
    expect(kernel.files.access(`/dev/vfio/${subject.edu.group}`)).toBeLessThan(0);
    expect(() => openDevice(kernel, address, { by })).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NOT_BOUND' }));

    const binding = bindDriver(kernel, address);
    expect(binding.previous).toBeUndefined();
    openDevice(kernel, address, { by }).close();
    binding.restore();
    expect(findDevice(kernel, address).driver).toBeUndefined();
    bindDriver(kernel, address);
    opened = openDevice(kernel, address, { by });
  });
}
