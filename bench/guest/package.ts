/** This package's part of the lab's figures: what floor.c does, by typed calls. */
import { openDevice, type AddressSpace, type Device, type Interrupt } from 'vfio';
import { address, iova, kernel, large, memory, page } from './edu.js';
import { measure, print, quantile, warmUpMilliseconds } from './measure.js';

const batch = 64;
const identification = 0x00,
  liveness = 0x04,
  interruptRaise = 0x60,
  interruptAcknowledge = 0x64;
const signals = 2000;

function measureMappings(kind: string, dma: AddressSpace): void {
  const pairs = (name: string, size: bigint): void =>
    measure(`${kind}, ${name}`, 16, () => {
      for (let turn = 0; turn < 16; turn += 1) {
        dma.map({ iova, address: memory, size });
        dma.unmap({ iova, size });
      }
    });
  pairs('one page', page);
  pairs('2 MiB', large);
  const pages = Array.from({ length: batch }, (_, index) => {
    const start = BigInt(index) * page;
    return { iova: iova + start, address: memory + start, size: page };
  });
  measure(`${kind}, 64 pages`, 1, () => {
    dma.mapMany(pages);
    dma.unmapMany(pages);
  });
}

function measureRegisters(device: Device): void {
  const { config } = device;
  const { mmio, fastMmio } = device.region(0);
  let word = 0;
  measure('config.read32', 64, () => {
    for (let turn = 0; turn < 64; turn += 1) word = config.read32(0);
  });
  measure('mmio.read32', 256, () => {
    for (let turn = 0; turn < 256; turn += 1) word = mmio.read32(identification);
  });
  measure('fastMmio.read32', 256, () => {
    for (let turn = 0; turn < 256; turn += 1) word = fastMmio.read32(identification);
  });
  measure('mmio.write32', 256, () => {
    for (let turn = 0; turn < 256; turn += 1) mmio.write32(liveness, turn);
  });
  measure('fastMmio.write32', 256, () => {
    for (let turn = 0; turn < 256; turn += 1) fastMmio.write32(liveness, turn);
  });
  const values = new Uint32Array(16);
  measure('mmio.readRange of 16', 32, () => {
    for (let turn = 0; turn < 32; turn += 1) mmio.readRange(0, values);
  });
  if (word === 0) throw new Error('The device answers nothing');
}

/** Has the interrupt raised and waits for its count, again and again, as long as `served` says so. */
type Way = (interrupt: Interrupt, raise: () => void, served: () => boolean) => Promise<void>;

const ways: Readonly<Record<string, Way>> = {
  "on('signal')": (interrupt, raise, served) =>
    new Promise((resolve) => {
      const listener = (): void => {
        if (served()) return raise();
        interrupt.off('signal', listener).unref();
        resolve();
      };
      interrupt.on('signal', listener).ref();
      raise();
    }),
  'wait()': async (interrupt, raise, served) => {
    do {
      raise();
      await interrupt.wait();
    } while (served());
  },
  'poll()': async (interrupt, raise, served) => {
    do {
      raise();
      while (interrupt.poll() === 0);
    } while (served());
  },
};

/** From the write that has the device interrupt, to the count of who waits for it. */
async function measureInterrupts(device: Device): Promise<void> {
  const { fastMmio } = device.region(0);
  device.enableBusMaster();
  const [interrupt] = device.interrupt('msi').enable();
  if (interrupt === undefined) throw new Error('The device has no MSI');
  for (const [name, way] of Object.entries(ways)) {
    const latencies: number[] = [];
    const warm = performance.now() + warmUpMilliseconds;
    let begin = 0;
    const raise = (): void => {
      begin = performance.now();
      fastMmio.write32(interruptRaise, 1);
    };
    const served = (): boolean => {
      const now = performance.now();
      if (begin >= warm) latencies.push(now - begin);
      fastMmio.write32(interruptAcknowledge, 1);
      return latencies.length < signals;
    };
    await way(interrupt, raise, served);
    for (const [share, part] of Object.entries({ p10: 0.1, median: 0.5, p99: 0.99 }))
      print(`${name}, ${share}`, 1e6 * quantile(latencies, part));
  }
}

/** Of no open file: to come back from it is all that it does. */
const noFile = 2 ** 30;
measure('close', 64, () => {
  for (let turn = 0; turn < 64; turn += 1) kernel.close(noFile);
});
{
  using opened = openDevice(kernel, address, { by: 'group' });
  measureMappings('type1', opened.dma);
  measureRegisters(opened.device);
  await measureInterrupts(opened.device);
}
{
  using opened = openDevice(kernel, address, { by: 'node' });
  measureMappings('IOAS', opened.dma);
}
