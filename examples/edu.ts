/**
 * A driver for QEMU's educational device: the whole of VFIO in one page.
 *
 *   npm run demo                                    on a simulated machine, anywhere
 *   npm run lab -- npx tsx examples/edu.ts --real   on a real Linux kernel, in QEMU
 *
 * And to choose: --by node, group or compatibility; --unsafe-no-iommu for a machine without an IOMMU, where the device can
 * overwrite all memory; --dma-bits 48 for a device that QEMU was given with dma_mask=0xffffffffffff.
 */
import { parseArgs } from 'node:util';
import { findDevices, native, openDevice, type OpenWay } from 'vfio';
import { Edu, Machine } from 'vfio/sim';

const { values } = parseArgs({
  options: {
    real: { type: 'boolean' },
    by: { type: 'string' },
    'unsafe-no-iommu': { type: 'boolean', default: false },
    'dma-bits': { type: 'string', default: '28' },
  },
});
const unsafeNoIommu = values['unsafe-no-iommu'];
const simulated = new Machine({ devices: [{ model: new Edu() }], unsafeNoIommu, iommu: unsafeNoIommu ? 'none' : 'intel' });
const kernel = values.real ? native() : simulated.kernel;

// Registers, in BAR 0.
const identification = 0x00,
  liveness = 0x04,
  factorial = 0x08,
  status = 0x20;
const interruptStatus = 0x24,
  interruptAcknowledge = 0x64;
const dmaSource = 0x80,
  dmaDestination = 0x88,
  dmaCount = 0x90,
  dmaCommand = 0x98;
const deviceMemory = 0x4_0000n; // where the DMA engine finds the device's own 4 KiB
const interruptWhenDone = 0x80;
const length = 2048; // bytes to send; QEMU refuses a transfer that ends with the memory's last byte

const [found] = findDevices(kernel, { vendor: 0x1234, device: 0x11e8 });
if (found === undefined) throw new Error('There is no edu device; in QEMU, add -device edu');

using opened = openDevice(kernel, found.address, { unsafeNoIommu, ...(values.by !== undefined && { by: values.by as OpenWay }) });
const { device, dma } = opened;
const registers = device.region(0).mmio;
console.log(`identification  0x${registers.read32(identification).toString(16)}`);

registers.write32(liveness, 0x1234_5678);
console.log(`liveness        0x${registers.read32(liveness).toString(16)}, the complement of 0x12345678`);

// MSI is a write to memory, so bus mastering comes before the first interrupt.
device.enableBusMaster();
const [interrupt] = device.interrupt('msi').enable();
if (interrupt === undefined) throw new Error('The device has no MSI');

/** Waits for the device, says why it called, and tells it that we heard. */
async function served(): Promise<number> {
  await interrupt!.wait({ timeoutMilliseconds: 5000 });
  const reasons = registers.read32(interruptStatus);
  registers.write32(interruptAcknowledge, reasons);
  return reasons;
}

registers.write32(status, interruptWhenDone);
registers.write32(factorial, 10);
console.log(`interrupt       0x${(await served()).toString(16)}: 10! = ${registers.read32(factorial)}`);

// One buffer out, one back in, where the DMA engine's address bits reach.
const below = (1n << BigInt(values['dma-bits'])) - 1n;
const sent = dma.allocate(length, { below, write: false });
const received = dma.allocate(length, { below, read: false });
sent.bytes.forEach((_, index, bytes) => (bytes[index] = (index * 7) & 0xff));

async function transfer(source: bigint, destination: bigint, toMemory: boolean): Promise<void> {
  registers.write64(dmaSource, source);
  registers.write64(dmaDestination, destination);
  registers.write64(dmaCount, BigInt(length));
  registers.write64(dmaCommand, toMemory ? 0b111n : 0b101n); // run, direction, interrupt at the end
  console.log(`interrupt       0x${(await served()).toString(16)}: ${length} bytes ${toMemory ? 'from' : 'into'} the device`);
}
await transfer(sent.iova, deviceMemory, false);
await transfer(deviceMemory, received.iova, true);

const same = Buffer.compare(sent.bytes.subarray(0, length), received.bytes.subarray(0, length)) === 0;
console.log(`verification    ${same ? 'every byte came back' : 'the bytes differ'}`);
process.exitCode = same ? 0 : 1;
