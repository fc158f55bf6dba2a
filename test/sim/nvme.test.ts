/** What the NVMe controller does where the driver of the conformance suite does not look, as QEMU 7.2 has it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice, type DmaBuffer, type OpenDevice } from '../../lib/index.js';
import { Machine, Nvme } from '../../lib/sim/index.js';
import { enabled, NvmeDriver, type NvmeCommand, type NvmeCompletion, type QueuePair } from '../support/models/nvme-driver.js';

const [deleteSubmissions, createSubmissions, getLog, identify, setFeatures, requestEvent, attachNamespace] = [
  ...[0x00, 0x01, 0x02, 0x06, 0x09, 0x0c, 0x15],
] as [number, number, number, number, number, number, number];
const [flush, read] = [0, 2];
const errorLog = 1;
const everything = 0xffff_ffff;

describe('a drive', () => {
  it('has a size in pages, blocks of one of two sizes, and a serial number that fits', () => {
    for (const size of [0, -4096, 4095, 0.5, Number.NaN]) expect(() => new Nvme({ size })).toThrow('a positive multiple of 4096 for size');
    expect(() => new Nvme({ blockSize: 1024 as number as 512 })).toThrow('512 or 4096 for blockSize');
    for (const serial of ['x'.repeat(21), '\u00e9']) expect(() => new Nvme({ serial })).toThrow('at most 20 ASCII characters for serial');
    expect(new Nvme({ size: 8192, blockSize: 4096, serial: 'x'.repeat(20) }).disk.size).toBe(8192);
  });

  it('is read and written inside its size alone', () => {
    const { disk } = new Nvme({ size: 4096 });
    const two = new Uint8Array(2);
    for (const offset of [-1, 0.5, 4095, Number.NaN]) {
      for (const call of [() => disk.read(offset, two), () => disk.write(offset, two), () => disk.clear(offset, 2)])
        expect(call).toThrow("an offset with 2 bytes inside the disk's 4096");
    }
    disk.write(4094, Uint8Array.of(1, 2));
    disk.read(4094, two);
    expect([...two]).toEqual([1, 2]);
  });
});

describe('a controller', () => {
  let machine: Machine;
  let opened: OpenDevice;
  let driver: NvmeDriver;
  let data: DmaBuffer;

  beforeEach(async () => {
    machine = new Machine({ devices: [{ model: new Nvme({ size: 1 << 20 }) }] });
    opened = openDevice(machine.kernel, '0000:00:03.0');
    opened.device.enableBusMaster();
    driver = new NvmeDriver(opened);
    data = driver.allocate('data', 4096);
    await driver.start();
  });
  afterEach(() => opened.close());

  const run = (command: NvmeCommand, queue?: QueuePair): Promise<NvmeCompletion> => driver.run(command, queue);
  const statusOf = async (command: NvmeCommand): Promise<number> => (await run(command)).status & 0x7ff;
  const identified = async (structure: number, namespace: number, commandSet: number): Promise<number | string> => {
    data.bytes.fill(0xee);
    const status = await statusOf({ opcode: identify, prp1: data.iova, namespace, words: [structure, commandSet << 24] });
    return status === 0 ? new DataView(data.memory).getUint32(0, true) : `0x${status.toString(16)}`;
  };
  /** A short read of a register, which reaches the device as it is. */
  const bytesAt = (offset: number, length: number): number[] => {
    const bytes = new Uint8Array(length);
    opened.device.region(0).read(offset, bytes);
    return [...bytes];
  };

  it('gives parts of its registers', () => {
    expect([bytesAt(0, 1), bytesAt(1, 1), bytesAt(2, 2)]).toEqual([[0xff], [0x07], [0x01, 0x0f]]);
  });

  it('has no doorbells behind those of its queues', async () => {
    driver.admin.put({ opcode: requestEvent });
    driver.admin.ring();
    driver.registers.write32(0x3ff8, 0);
    expect(driver.admin.waiting).toBe(false);
    // A queue that there is not.
    driver.registers.write32(0x1ff8, 0);
    expect((await driver.wait()).result).toBe(0x1_0000);
  });

  it('keeps 64 events that wait, and loses more', async () => {
    const request = (): void => {
      driver.admin.put({ opcode: requestEvent });
      driver.admin.ring();
    };
    const log = { opcode: getLog, namespace: everything, prp1: data.iova, words: [errorLog | (15 << 16)] };
    request();
    request();
    for (let event = 0; event < 70; event += 1) driver.registers.write32(0x1ff8, 0);
    // Each is told of when the log was read after the one before: then the event comes, if there is one more, and the log.
    let told = 0;
    for (let { result } = await driver.wait(); result !== 0; { result } = await run(log)) {
      if (told > 0) await driver.wait();
      told += 1;
      request();
    }
    expect(told).toBe(65);
  });

  it('does not start with pages larger than it can have', async () => {
    const { registers } = driver;
    registers.write32(0x14, 0);
    for (const queues of [0x28, 0x30]) registers.write64(queues, 1n << 20n);
    registers.write32(0x14, enabled | (4 << 7));
    expect(registers.read32(0x1c) & 3).toBe(1);
    registers.write32(0x14, 0);
    registers.write32(0x14, enabled | (5 << 7));
    expect(registers.read32(0x1c) & 3).toBe(2);
  });

  it('fetches no command while as many as its queue has entries are not completed', async () => {
    const pair = await driver.createPair(1, 2);
    data.bytes.fill(0xee);
    // There is room for one completion: that of the first.
    for (let command = 0; command < 3; command += 1) {
      pair.put({ opcode: flush, namespace: 1 });
      pair.ring();
    }
    pair.put({ opcode: read, namespace: 1, prp1: data.iova });
    pair.ring();
    expect(data.bytes[0]).toBe(0xee);
    const identifiers = [(await driver.wait(pair)).identifier];
    expect(data.bytes[0]).toBe(0);
    while (pair.waiting) identifiers.push((await driver.wait(pair)).identifier);
    expect(identifiers).toEqual([1, 2, 3, 4]);
  });

  it('forgets the completions of a queue that is deleted, and not those of others', async () => {
    const first = await driver.createPair(1, 2);
    const second = driver.pair(2, 2);
    await run({ opcode: createSubmissions, prp1: second.submissions.iova, words: [(1 << 16) | 2, (1 << 16) | 1] });
    for (const queue of [first, first, second]) {
      queue.put({ opcode: flush, namespace: 1 });
      queue.ring();
    }
    await run({ opcode: deleteSubmissions, words: [1] });
    expect([(await driver.wait(first)).queue, (await driver.wait(first)).queue, first.waiting]).toEqual([1, 2, false]);
  });

  it('is too cold below a threshold that is above its temperature', async () => {
    const warning = async (): Promise<number | undefined> => {
      await run({ opcode: getLog, namespace: everything, prp1: data.iova, words: [2 | (127 << 16)] });
      return data.bytes[0];
    };
    const cold = (kelvin: number): Promise<number> => statusOf({ opcode: setFeatures, words: [4, (1 << 20) | kelvin] });
    expect([await warning(), await cold(0x143), await warning(), await cold(0x142), await warning()]).toEqual([0, 0, 2, 0, 0]);
  });

  it('knows namespaces up to 256, and all of them', async () => {
    const attach = (namespace: number): Promise<number> => statusOf({ opcode: attachNamespace, namespace });
    expect([await attach(0), await attach(256), await attach(257), await attach(everything)]).toEqual([0x0b, 0x02, 0x0b, 0x02]);
  });

  it('lists namespaces, and has nothing of command sets but NVM for one', async () => {
    expect([await identified(0x1b, 0, 0), await identified(0x1b, 1, 0), await identified(0x1b, 1, 2)]).toEqual(['0xb', 0, '0x2']);
    expect([
      await identified(0x10, 0, 0),
      await identified(0x10, 0, 2),
      await identified(0x10, 0, 5),
      await identified(0x10, 1, 0),
    ]).toEqual([...[1, 1, 1, 0]]);
    expect([
      await identified(0x07, 0, 0),
      await identified(0x07, 1, 0),
      await identified(0x07, 0, 2),
      await identified(0x07, 0, 5),
    ]).toEqual([...[1, 0, 0, '0x2']]);
  });

  describe('interrupts', () => {
    /** How many came since the last look. */
    const count = (fd: number): number => {
      const bytes = new Uint8Array(8);
      return machine.kernel.read(fd, bytes) < 0 ? 0 : bytes[0]!;
    };
    /** The interrupt line, as the function's status says. */
    const line = (): number => (opened.device.config.read16(6) >> 3) & 1;

    it('by message: a queue without one sends none, and taking some of what is there sends no other', async () => {
      const messages = opened.device.interrupt('msix').enable(3);
      const fds = messages.map(({ fd }) => fd);
      const counts = (): number[] => fds.map(count);
      const [silent, loud] = [await driver.createPair(1, 8), await driver.createPair(2, 8, 2)];
      counts();
      await run({ opcode: flush, namespace: 1 }, silent);
      expect(counts()).toEqual([0, 0, 0]);
      for (let command = 0; command < 2; command += 1) loud.put({ opcode: flush, namespace: 1 });
      loud.ring();
      expect(counts()).toEqual([0, 0, 1]);
      await driver.wait(loud);
      await driver.wait(loud);
      expect(counts()).toEqual([0, 0, 0]);
      await run({ opcode: deleteSubmissions, words: [2] });
      expect(counts()).toEqual([1, 0, 0]);
    });

    it('by line: it falls when all is taken of the queues that have one', async () => {
      const silent = await driver.createPair(1, 8);
      expect(line()).toBe(0);
      driver.admin.put({ opcode: identify, prp1: data.iova, words: [1] });
      driver.admin.ring();
      expect(line()).toBe(1);
      await driver.wait();
      expect(line()).toBe(0);
      await run({ opcode: flush, namespace: 1 }, silent);
      driver.admin.put({ opcode: identify, prp1: data.iova, words: [1] });
      driver.admin.ring();
      expect(line()).toBe(1);
      await driver.wait();
      expect(line()).toBe(0);
    });

    it('a line that was up when messages were turned on is let go, until there is more to tell without them', async () => {
      driver.admin.put({ opcode: identify, prp1: data.iova, words: [1] });
      driver.admin.ring();
      expect(line()).toBe(1);
      opened.device.interrupt('msix').enable(1);
      await driver.wait();
      opened.device.interrupt('msix').disable();
      expect(line()).toBe(0);
      driver.admin.put({ opcode: identify, prp1: data.iova, words: [1] });
      driver.admin.ring();
      expect(line()).toBe(1);
    });

    it('what was taken by message stays on the line, and is seen when the mask is written', async () => {
      driver.admin.put({ opcode: identify, prp1: data.iova, words: [1] });
      driver.admin.ring();
      opened.device.interrupt('msix').enable(1);
      await driver.wait();
      opened.device.interrupt('msix').disable();
      expect(line()).toBe(0);
      driver.registers.write32(0x10, 0);
      expect(line()).toBe(1);
    });
  });
});
