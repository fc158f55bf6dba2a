/**
 * Moves a running device's state into another of its kind, as a hypervisor does with a virtual machine's: what there is to
 * take while the device runs, and the rest when it is stopped. The device is mtty, the kernel's own sample: a serial port
 * that gives back what it is sent.
 *
 *   npm run build && npx tsx examples/migration.ts                   on a simulated machine, anywhere
 *   npm run lab -- npx tsx examples/migration.ts --real              on a real Linux kernel, in QEMU
 */
import { Container, createMediatedDevice, native, type MigrationData } from 'vfio';
import { Machine } from 'vfio/sim';

const kernel = process.argv.includes('--real') ? native() : new Machine({ mediated: ['mtty'] }).kernel;

// Registers of a 16550 UART, in BAR 0.
const data = 0,
  fifoControl = 2,
  lineStatus = 5;
const enableFifo = 0x01;
const dataReady = 0x01;

using first = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });
using second = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });

// Mediated devices do DMA by their driver, so one container will do for both.
using container = Container.open(kernel);
const groups = [first, second].map(({ group }) => container.openGroup(group));
container.setIommu();
const [source, target] = [groups[0]!.openDevice(first.uuid), groups[1]!.openDevice(second.uuid)];
if (source.migration === undefined || target.migration === undefined) throw new Error('The device cannot migrate');

const uart = source.region(0).mmio;
uart.write8(fifoControl, enableFifo);
for (const character of 'hello, serial') uart.write8(data, character.charCodeAt(0));

const { stopCopy, p2p, preCopy } = source.migration;
console.log(`the device can: stop-copy ${stopCopy}, p2p ${p2p}, pre-copy ${preCopy}`);
console.log(`its state is about ${source.migration.dataSize} bytes`);

const sink = target.migration.restore();
let moved = 0;
async function move(from: MigrationData): Promise<void> {
  for await (const part of from.readable()) {
    sink.write(part as Uint8Array);
    moved += (part as Uint8Array).byteLength;
  }
}

const stream = source.migration.setState('pre-copy')!;
console.log(`${stream.preCopyInfo().initialBytes} of them can be taken while it runs`);
await move(stream);
await move(source.migration.save());
source.migration.setState('stop');
target.migration.setState('running');
console.log(`${moved} bytes moved; the source is in '${source.migration.state}', the target in '${target.migration.state}'`);

const received = target.region(0).mmio;
let text = '';
while ((received.read8(lineStatus) & dataReady) !== 0) text += String.fromCharCode(received.read8(data));
console.log(`the target's port gives back: ${text}`);
