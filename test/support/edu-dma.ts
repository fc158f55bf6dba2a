import type { Device } from '../../lib/index.js';

/** Of the device, where its DMA begins or ends. */
const deviceMemory = 0x4_0000n;
const [toDevice, toMemory] = [1n, 3n];

/** Has an edu copy bytes into its own memory and from there to another IOVA. Nothing comes from where it finds nothing. */
export async function eduCopies(device: Device, from: bigint, to: bigint, size = 64n): Promise<void> {
  device.enableBusMaster();
  const registers = device.region(0).mmio;
  for (const [source, destination, command] of [
    [from, deviceMemory, toDevice],
    [deviceMemory, to, toMemory],
  ] as const) {
    registers.write64(0x80, source);
    registers.write64(0x88, destination);
    registers.write64(0x90, size);
    registers.write64(0x98, command);
    for (let waited = 0; (registers.read32(0x98) & 1) === 1 && waited < 5000; waited += 5)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
