/** The NVMe controller, as QEMU's is: every register access of a driver and what came of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import type { DmaBuffer, Interrupt } from '../../lib/index.js';
import { expectDevice } from '../support/golden.js';
import { memoryPage, NvmeDriver, enabled, type NvmeCommand, type QueuePair } from '../support/models/nvme-driver.js';
import { dump, until } from '../support/models/trace.js';
import type { Variant } from '../support/subject.js';

const [identify, getLog, setFeatures, getFeatures] = [0x06, 0x02, 0x09, 0x0a];
const [flush, write, read, compare, writeZeroes, manageData] = [0, 1, 2, 5, 8, 9];

export function nvme(variant: Variant): void {
  let opened: OpenDevice;
  let driver: NvmeDriver;
  let data: DmaBuffer;

  beforeEach(() => {
    const subject = variant.make();
    opened = openDevice(subject.kernel, subject.nvme.address);
    opened.device.enableBusMaster();
    opened.device.reset();
    driver = new NvmeDriver(opened);
    data = driver.allocate('data', 64 * memoryPage);
  });
  afterEach(() => opened.close());

  const golden = (name: string): void => expectDevice(variant, `nvme-${name}`, driver.trace.take());
  const note = (line: string): void => driver.trace.note(line);
  const each = async (commands: Readonly<Record<string, NvmeCommand>>, queue?: QueuePair): Promise<void> => {
    for (const [name, command] of Object.entries(commands)) {
      note(`# ${name}`);
      await driver.run(command, queue);
    }
  };
  /** With what the device wrote. */
  const show = async (commands: Readonly<Record<string, NvmeCommand>>, size = memoryPage): Promise<void> => {
    for (const [name, command] of Object.entries(commands)) {
      note(`# ${name}`);
      data.bytes.fill(0, 0, size + 16);
      data.bytes.fill(0xee, size, size + 16);
      await driver.run({ prp1: data.iova, ...command });
      for (const line of dump(data.bytes.subarray(0, size))) note(line);
      expect(data.bytes.subarray(size, size + 16).every((byte) => byte === 0xee)).toBe(true);
    }
  };

  it('its registers are these, at each width, and take these values', () => {
    const { registers } = driver;
    const all = (): void => {
      for (const offset of [0x00, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38, 0x3c, 0x40, 0xe00, 0xffc])
        registers.read32(offset);
    };
    // The firmware has used it, and a reset keeps where its queues were.
    for (const offset of [0x24, 0x28, 0x2c, 0x30, 0x34]) registers.write32(offset, 0);
    all();
    for (const offset of [0x00, 0x08, 0x28, 0x30, 0xff8]) registers.read64(offset);
    for (const offset of [0x00, 0x02, 0x04, 0x1c]) registers.read16(offset);
    for (const offset of [0x00, 0x01, 0x03, 0x0a]) registers.read8(offset);
    for (const offset of [0x1000, 0x1004, 0x1ffc]) registers.read32(offset);
    note('# all ones, but for the configuration');
    for (const offset of [0x00, 0x04, 0x08, 0x0c, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38, 0x3c, 0x40, 0x50, 0x54, 0xe04])
      registers.write32(offset, 0xffff_ffff);
    all();
    note('# some of it back');
    registers.write32(0x10, 0x0f0f_0000);
    registers.write64(0x28, 0x1234_5678_9abc_d000n);
    registers.write32(0x30, 0x8765_4000);
    registers.write16(0x24, 0x1f);
    registers.write16(0x28, 0x4321);
    registers.write32(0x14, 0x0046_4000);
    all();
    registers.write32(0x14, 0x0046_0000);
    registers.read32(0x1c);
    golden('registers');
  });

  it('it starts, stops and starts again; a reset of the function stops it too', async () => {
    await driver.start();
    for (const offset of [0x14, 0x1c, 0x24]) driver.registers.read32(offset);
    note('# shutdown');
    driver.registers.write32(0x14, enabled | (1 << 14));
    await driver.status(0xc, 0x8);
    driver.registers.write32(0x14, enabled);
    await driver.status(0xc, 0);
    note('# disabled');
    driver.registers.write32(0x14, enabled & ~1);
    for (const offset of [0x14, 0x1c, 0x24]) driver.registers.read32(offset);
    await driver.start(8);
    note('# reset');
    opened.device.reset();
    for (const offset of [0x14, 0x1c, 0x24]) driver.registers.read32(offset);
    golden('life');
  });

  it('it does not start without queues, with pages or entries of another size, or a command set it has not', async () => {
    const { registers } = driver;
    for (const [name, [configuration, attributes, offset]] of Object.entries({
      'no submission queue': [enabled, 0x000f_0000, 0n],
      'no completion queue': [enabled, 0xf, 0n],
      'queues off the page': [enabled, 0x000f_000f, 0x800n],
      'pages of 8 KiB, and queues at a page of 4': [enabled | (1 << 7), 0x000f_000f, 0x1000n],
      'pages of 128 KiB': [enabled | (5 << 7), 0x000f_000f, 0n],
      'command set 1': [enabled | (1 << 4), 0x000f_000f, 0n],
      'submission entries of 32 bytes': [0x0045_0001, 0x000f_000f, 0n],
      'completion entries of 32 bytes': [0x0056_0001, 0x000f_000f, 0n],
    } as const)) {
      note(`# ${name}`);
      registers.write32(0x14, 0);
      registers.write32(0x24, attributes);
      // On a boundary of 128 KiB, as large as the largest page here.
      const base = (data.iova + 0x1_ffffn) & ~0x1_ffffn;
      opened.device.region(0).mmio.write64(0x28, base + offset);
      opened.device.region(0).mmio.write64(0x30, base + offset);
      registers.write32(0x14, configuration);
      await driver.status(3, 2);
    }
    golden('no-start');
  });

  it('it identifies itself and its namespace', async () => {
    await driver.start();
    await show({
      controller: { opcode: identify, words: [1] },
      namespace: { opcode: identify, namespace: 1, words: [0] },
      'another namespace': { opcode: identify, namespace: 2, words: [0] },
      'active namespaces': { opcode: identify, words: [2] },
      'active namespaces after the first': { opcode: identify, namespace: 1, words: [2] },
      'descriptors of the namespace': { opcode: identify, namespace: 1, words: [3] },
      "NVM's part of the namespace": { opcode: identify, namespace: 1, words: [5] },
      "NVM's part of the controller": { opcode: identify, words: [6] },
      'active namespaces of NVM': { opcode: identify, words: [7] },
      'active zoned namespaces': { opcode: identify, words: [7, 2 << 24] },
      'zoned part of the controller': { opcode: identify, words: [6, 2 << 24] },
      'allocated namespaces': { opcode: identify, words: [0x10] },
      'allocated namespace': { opcode: identify, namespace: 1, words: [0x11] },
      'primary controller': { opcode: identify, words: [0x14] },
      'secondary controllers': { opcode: identify, words: [0x15] },
      'command sets': { opcode: identify, words: [0x1c] },
    });
    golden('identify');
  });

  it('it refuses what it has not, in these words', async () => {
    await driver.start();
    const { iova } = data;
    await each({
      'no admin command': { opcode: 0x7f },
      'firmware commit': { opcode: 0x10 },
      'a fused command': { opcode: identify, flags: 1, prp1: iova, words: [1] },
      'a scatter-gather list': { opcode: identify, flags: 0x40, prp1: iova, words: [1] },
      'no structure': { opcode: identify, prp1: iova, words: [0x20] },
      'namespace 0': { opcode: identify, prp1: iova, words: [0] },
      'every namespace': { opcode: identify, namespace: 0xffff_ffff, prp1: iova, words: [0] },
      'namespace 257': { opcode: identify, namespace: 257, prp1: iova, words: [0] },
      'namespaces after the last': { opcode: identify, namespace: 0xffff_fffe, prp1: iova, words: [2] },
      'descriptors of none': { opcode: identify, namespace: 2, prp1: iova, words: [3] },
      'controllers of a subsystem': { opcode: identify, prp1: iova, words: [0x13] },
      'a second page off its start': { opcode: identify, prp1: iova + 8n, prp2: iova + 0x1008n, words: [1] },
      'a log that is not there': { opcode: getLog, prp1: iova, words: [0x7f] },
      'a log from its end': { opcode: getLog, namespace: 0xffff_ffff, prp1: iova, words: [2, 0, 512] },
      'a log off the word': { opcode: getLog, namespace: 0xffff_ffff, prp1: iova, words: [2, 0, 2] },
      'SMART of no namespace': { opcode: getLog, namespace: 2, prp1: iova, words: [2] },
      'a transfer larger than may be': { opcode: getLog, prp1: iova, words: [0x0001_0001, 2] },
      'an abort of a queue that is not there': { opcode: 0x08, words: [9] },
      'an abort': { opcode: 0x08, words: [0x0001_0000] },
      'no feature': { opcode: getFeatures, words: [0x7f] },
      'a feature that is not saved': { opcode: setFeatures, words: [0x8000_0004] },
      'a feature that is not changed': { opcode: setFeatures, words: [1] },
      'a feature of a namespace that is not': { opcode: setFeatures, namespace: 1, words: [4] },
      'attaching a namespace': { opcode: 0x15, namespace: 1, prp1: iova },
      'attaching no namespace': { opcode: 0x15, prp1: iova },
      'giving queues to a virtual function': { opcode: 0x1c, words: [0x0001_0008, 1] },
      'giving queues to itself': { opcode: 0x1c, words: [1, 1] },
      'giving it none': { opcode: 0x1c, words: [1] },
      'giving something else': { opcode: 0x1c, words: [0x201] },
      'no such giving': { opcode: 0x1c, words: [2] },
      'a format with metadata and protection': { opcode: 0x80, namespace: 1, words: [0x20] },
      'a format there is not': { opcode: 0x80, namespace: 1, words: [9] },
      'a format of no namespace': { opcode: 0x80, namespace: 2 },
    });
    golden('refusals');
  });

  it('queues are made and deleted in order, and within their limits', async () => {
    await driver.start();
    const { iova } = data;
    const completions = (id: number, last: number, flags = 1, prp1 = iova): NvmeCommand => ({
      opcode: 5,
      prp1,
      words: [(last << 16) | id, flags],
    });
    const submissions = (id: number, last: number, flags: number, prp1 = iova): NvmeCommand => ({
      opcode: 1,
      prp1,
      words: [(last << 16) | id, flags],
    });
    const remove = (opcode: number, id: number): NvmeCommand => ({ opcode, words: [id] });
    await each({
      'completion queue 0': completions(0, 7),
      'completion queue 65': completions(65, 7),
      'of one entry': completions(1, 0),
      'of more than can be': completions(1, 0x800),
      'off the page': completions(1, 7, 1, iova + 64n),
      'with a vector and no MSI-X': completions(1, 7, 0x0001_0003),
      'in pieces': completions(1, 7, 2),
      'submission queue of a completion queue that is not there': submissions(1, 7, 0x0001_0001),
      'of the admin completion queue': submissions(1, 7, 1),
      'completion queue 64': completions(64, 0x7ff),
      'completion queue 1': completions(1, 7),
      'completion queue 1 again': completions(1, 7),
      'the number of queues now': { opcode: setFeatures, words: [7, 0x0003_0003] },
      'submission queue 0': submissions(0, 7, 0x0001_0001),
      'submission queue 65': submissions(65, 7, 0x0001_0001),
      'submission queue of one entry': submissions(2, 0, 0x0001_0001),
      'submission queue off the page': submissions(2, 7, 0x0001_0001, iova + 64n),
      'submission queue in pieces': submissions(2, 7, 0x0001_0000),
      'submission queue 2': submissions(2, 7, 0x0001_0001),
      'submission queue 2 again': submissions(2, 7, 0x0001_0001),
      'deleting the completion queue first': remove(4, 1),
      'deleting submission queue 0': remove(0, 0),
      'deleting submission queue 3': remove(0, 3),
      'deleting submission queue 2': remove(0, 2),
      'deleting it again': remove(0, 2),
      'deleting completion queue 0': remove(4, 0),
      'deleting completion queue 1': remove(4, 1),
      'deleting completion queue 64': remove(4, 64),
      'deleting it once more': remove(4, 64),
    });
    golden('queues');
  });

  it('features are these, and change as they do', async () => {
    await driver.start();
    const known = [1, 2, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x19];
    for (const id of known) {
      for (const select of [0, 1, 2, 3]) {
        note(`# feature ${id}, select ${select}`);
        await driver.run({ opcode: getFeatures, namespace: id === 5 ? 1 : 0, words: [id | (select << 8)] });
      }
    }
    const both = (id: number, value: number, select = 0, namespace = 0): Record<string, NvmeCommand> => ({
      [`set ${id} to 0x${value.toString(16)}`]: { opcode: setFeatures, namespace, words: [id, value] },
      [`get ${id}`]: { opcode: getFeatures, namespace: id === 5 ? 1 : 0, words: [id, select] },
    });
    await each(both(4, 0x0150));
    await each(both(4, 0x0010_0100, 0x0010_0000));
    await each(both(4, 0x0001_0001, 0x0001_0000));
    await each(both(4, 0x0020_0001, 0x0020_0000));
    await each(both(4, 0x157));
    await each(both(5, 5, 0, 1));
    await each(both(5, 0, 0, 0xffff_ffff));
    await each(both(6, 0));
    await each(both(6, 1));
    await each(both(7, 0x0001_0001));
    await each(both(7, 0xffff));
    await each(both(9, 0, 3));
    await each(both(9, 0, 65));
    await each(both(0x0b, 0x11f));
    await each(both(0x0b, 0));
    await each(both(0x19, 1));
    await each(both(0x19, 0));
    note('# host behavior support');
    data.bytes.fill(0).set([0, 0, 1, 7]);
    await driver.run({ opcode: setFeatures, prp1: data.iova, words: [0x16] });
    await show({ 'and what it is': { opcode: getFeatures, words: [0x16] } }, 512);
    data.bytes.fill(0);
    await driver.run({ opcode: setFeatures, prp1: data.iova, words: [0x16] });
    note('# timestamp');
    new DataView(data.memory).setBigUint64(0, 1_700_000_000_000n, true);
    await driver.run({ opcode: setFeatures, prp1: data.iova, words: [0x0e] });
    data.bytes.fill(0);
    await driver.run({ opcode: getFeatures, prp1: data.iova, words: [0x0e] });
    const timestamp = new DataView(data.memory).getBigUint64(0, true);
    expect(timestamp >> 48n).toBe(2n);
    expect((timestamp & 0xffff_ffff_ffffn) - 1_700_000_000_000n).toBeLessThan(60_000n);
    golden('features');
  });

  it('logs are these', async () => {
    await driver.start();
    await show({
      errors: { opcode: getLog, words: [0x000f_0001] },
      firmware: { opcode: getLog, words: [0x007f_0003] },
      'firmware, a part of it': { opcode: getLog, words: [0x0003_0003, 0, 4] },
      'changed namespaces': { opcode: getLog, words: [0x03ff_0004] },
      effects: { opcode: getLog, words: [0x03ff_0005] },
    });
    note('# SMART, but for what was read and written before');
    await driver.run({ opcode: getLog, namespace: 0xffff_ffff, prp1: data.iova, words: [0x007f_8002] });
    data.bytes.fill(0, 32, 96);
    for (const line of dump(data.bytes.subarray(0, 512))) note(line);
    golden('logs');
  });

  it('SMART counts what is read and written', async () => {
    await driver.start();
    const pair = await driver.createPair(1, 16);
    const counts = async (): Promise<bigint[]> => {
      await driver.run({ opcode: getLog, namespace: 1, prp1: data.iova, words: [0x007f_0002] });
      const view = new DataView(data.memory);
      return [64, 80].map((at) => view.getBigUint64(at, true));
    };
    const before = await counts();
    for (const opcode of [read, read, read, write, write, flush])
      await driver.run({ opcode, namespace: 1, prp1: data.iova, words: [0x800] }, pair);
    const after = await counts();
    expect(after.map((count, index) => count - (before[index] ?? 0n))).toEqual([3n, 2n]);
  });

  it('events wait for a request and are told of once, until their log was read', async () => {
    await driver.start();
    const request: NvmeCommand = { opcode: 0x0c };
    const { admin, registers } = driver;
    note('# an error nobody asked to hear of');
    registers.write32(0x1000 + 8 * 9, 1);
    admin.put(request);
    admin.put(request);
    // What comes behind them is over when they were seen.
    await driver.run({ opcode: getFeatures, words: [7] });
    note('# the doorbell of a queue that is not there');
    registers.write32(0x1000 + 8 * 9, 1);
    await driver.wait();
    note('# another is not told of, until the log was read');
    registers.write32(0x1000, 100);
    await driver.run({ opcode: getLog, prp1: data.iova, words: [0x000f_8001] });
    admin.put({ opcode: getLog, prp1: data.iova, words: [0x000f_0001] });
    admin.ring();
    await driver.wait();
    await driver.wait();
    note('# too hot');
    await driver.run({ opcode: setFeatures, words: [0x0b, 2] });
    admin.put(request);
    admin.ring();
    admin.put({ opcode: setFeatures, words: [4, 0x140] });
    admin.ring();
    await driver.wait();
    await driver.wait();
    await driver.run({ opcode: setFeatures, words: [4, 0x157] });
    await driver.run({ opcode: getLog, namespace: 0xffff_ffff, prp1: data.iova, words: [0x007f_0002] });
    note('# five requests are one too many');
    for (let count = 0; count < 5; count += 1) admin.put(request);
    admin.ring();
    await driver.wait();
    golden('events');
  });

  describe('with I/O queues', () => {
    const blocks = (first: number, count: number, opcode: number, more: Partial<NvmeCommand> = {}): NvmeCommand => ({
      opcode,
      namespace: 1,
      prp1: data.iova,
      ...more,
      words: [first, 0, count - 1],
    });
    const fill = (bytes: Uint8Array, seed: number): void => {
      bytes.forEach((_, index) => (bytes[index] = (index * 7 + (index >> 9) * 13 + seed) & 0xff));
    };

    it('what is written is read again, whatever the size and the place in memory', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 8);
      const list = driver.allocate('list', 2 * memoryPage);
      const entries = new BigUint64Array(list.memory);
      const target = driver.allocate('target', 64 * memoryPage);
      const pages = (buffer: DmaBuffer, offset: number, size: number, skipped = 0): Partial<NvmeCommand> => {
        const prp1 = buffer.iova + BigInt(offset);
        const first = memoryPage - (offset % memoryPage);
        if (size <= first) return { prp1 };
        const second = prp1 + BigInt(first);
        if (size - first <= memoryPage) return { prp1, prp2: second };
        for (let index = 0; first + index * memoryPage < size; index += 1) entries[skipped + index] = second + BigInt(index * memoryPage);
        return { prp1, prp2: list.iova + BigInt(8 * skipped) };
      };
      for (const [count, offset, skipped] of [
        [1, 0, 0],
        [3, 0x204, 0],
        [8, 0xe00, 0],
        [16, 0, 0],
        [17, 0x10, 0],
        [120, 0x800, 0],
        [200, 0, 480],
        [256, 0, 0],
      ] as const) {
        const size = count * 512;
        note(`# ${count} blocks at offset 0x${offset.toString(16)} of a page`);
        fill(data.bytes, count);
        target.bytes.fill(0);
        await driver.run(blocks(1000, count, write, pages(data, offset, size, skipped)), pair);
        await driver.run(blocks(1000, count, read, pages(target, offset, size, skipped)), pair);
        const [sent, received] = [data.bytes, target.bytes].map((bytes) => bytes.subarray(offset, offset + size));
        expect(Buffer.compare(sent!, received!)).toBe(0);
        expect(target.bytes.subarray(0, offset).every((byte) => byte === 0)).toBe(true);
        expect(target.bytes.subarray(offset + size).every((byte) => byte === 0)).toBe(true);
      }
      golden('transfers');
    });

    it('commands that are wrong change nothing and say why', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 64);
      const end = (64 << 20) / 512;
      const list = driver.allocate('list', 2 * memoryPage);
      new BigUint64Array(list.memory).fill(data.iova + 8n);
      await each(
        {
          'no command': blocks(0, 1, 0x7f),
          'a zoned command': blocks(0, 1, 0x7d),
          'namespace 0': blocks(0, 1, read, { namespace: 0 }),
          'namespace 2': blocks(0, 1, read, { namespace: 2 }),
          'namespace 257': blocks(0, 1, read, { namespace: 257 }),
          'every namespace': blocks(0, 1, read, { namespace: 0xffff_ffff }),
          'a flush of every namespace': blocks(0, 1, flush, { namespace: 0xffff_ffff }),
          'a flush of namespace 2': blocks(0, 1, flush, { namespace: 2 }),
          'a fused command': blocks(0, 1, compare, { flags: 1 }),
          'the last block': blocks(end - 1, 1, read),
          'a block past the end': blocks(end, 1, read),
          'two blocks at the end': blocks(end - 1, 2, write),
          'a block far away': { opcode: read, namespace: 1, prp1: data.iova, words: [0xffff_ffff, 0xffff_ffff] },
          'more than may be at once': blocks(0, 1025, read),
          'more at the end than may be': blocks(end - 1, 1025, write),
          'a second page off its start': blocks(0, 16, read, { prp2: data.iova + 0x1008n }),
          'a list of pages off their start': blocks(0, 32, write, { prp2: list.iova }),
          'zeros past the end': blocks(end - 1, 2, writeZeroes),
          'a comparison past the end': blocks(end, 1, compare),
          'a verification': blocks(0, 1, 0x0c),
          'a verification of more than may be': blocks(0, 1025, 0x0c),
          'a verification past the end': blocks(end, 1, 0x0c),
          'a copy of one range': { opcode: 0x19, namespace: 1, prp1: data.iova, words: [0, 0, 0] },
          'a copy of two': { opcode: 0x19, namespace: 1, prp1: data.iova, words: [0, 0, 1] },
          'a copy with protection information': { opcode: 0x19, namespace: 1, prp1: data.iova, words: [0, 0, 0x100] },
          'a copy in no form': { opcode: 0x19, namespace: 1, prp1: data.iova, words: [0, 0, 0x200] },
          'data management of nothing': blocks(0, 1, manageData),
        },
        pair,
      );
      golden('io-refusals');
    });

    it('blocks are compared, zeroed and deallocated', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 64);
      const range = driver.allocate('ranges', memoryPage);
      const look = async (name: string, first: number, count: number): Promise<void> => {
        note(`# ${name}`);
        data.bytes.fill(0xdd);
        await driver.run(blocks(first, count, read, { prp2: data.iova + BigInt(memoryPage) }), pair);
        note(`  ${Array.from({ length: count }, (_, index) => data.bytes[index * 512]?.toString(16)).join(' ')}`);
      };
      data.bytes.fill(0x77);
      await each({ 'sixteen blocks': blocks(4096, 16, write, { prp2: data.iova + BigInt(memoryPage) }) }, pair);
      await each({ 'compared with themselves': blocks(4096, 8, compare) }, pair);
      data.bytes[4095] = 0;
      await each({ 'and with others': blocks(4096, 8, compare) }, pair);
      await each({ 'two zeroed': blocks(4097, 2, writeZeroes) }, pair);
      await look('now', 4096, 16);
      const ranges = new DataView(range.memory);
      ranges.setUint32(4, 8, true);
      ranges.setBigUint64(8, 4104n, true);
      ranges.setUint32(20, 8, true);
      ranges.setBigUint64(24, 1n << 40n, true);
      const manage = { opcode: manageData, namespace: 1, prp1: range.iova, words: [1, 4] };
      await each({ 'eight deallocated, and others that are nowhere': manage }, pair);
      await look('then', 4096, 16);
      golden('blocks');
    });

    it('a format erases, and chooses the size of blocks', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 8);
      data.bytes.fill(0x11);
      await driver.run(blocks(0, 1, write), pair);
      await each({ 'to 4096 bytes': { opcode: 0x80, namespace: 1, words: [4] } });
      data.bytes.fill(0x22);
      await driver.run(blocks(0, 1, read), pair);
      expect(data.bytes.subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
      expect(data.bytes[4096]).toBe(0x22);
      await show({ 'what it is now': { opcode: identify, namespace: 1, words: [0] } });
      await each({ 'past the end': blocks((64 << 20) / 4096, 1, read) }, pair);
      await each({ 'back to 512': { opcode: 0x80, namespace: 0xffff_ffff, words: [0] } });
      golden('format');
    });

    it.each(['msix', 'intx'] as const)('each completion interrupts, by %s', async (kind) => {
      const vectors: readonly Interrupt[] = opened.device.interrupt(kind).enable(kind === 'msix' ? 3 : 1);
      const [first, second] = [vectors[0]!, vectors[2] ?? vectors[0]!];
      await driver.start();
      const pair = await driver.createPair(1, 4, kind === 'msix' ? 2 : 0, first);
      for (let round = 0; round < 6; round += 1) {
        await driver.run(blocks(8 * round, 8, read), pair, second);
        await driver.run({ opcode: getFeatures, words: [7] }, driver.admin, first);
      }
      note('# a queue without interrupts');
      const silent = await driver.createPair(2, 4, undefined, first);
      await driver.run(blocks(0, 8, read), silent);
      golden(`interrupts-${kind}`);
    });

    it('INTx is masked and unmasked by the controller', async () => {
      const [interrupt] = opened.device.interrupt('intx').enable();
      await driver.start();
      driver.registers.write32(0x0c, 1);
      await driver.run({ opcode: getFeatures, words: [7] });
      driver.admin.put({ opcode: getFeatures, words: [7] });
      driver.admin.ring();
      const early = interrupt!.wait({ timeoutMilliseconds: 50 });
      await expect(early).rejects.toThrow();
      driver.registers.write32(0x10, 1);
      await driver.wait(driver.admin, interrupt);
      golden('interrupt-mask');
    });

    it('doorbells in memory are looked at as well, and say how far', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 8);
      const [shadow, looked] = ['doorbells', 'looked at'].map((name) => driver.allocate(name, memoryPage));
      const show = (): void => {
        for (const [name, buffer] of [['doorbells', shadow!] as const, ['looked at', looked!] as const])
          note(`  ${name}: ${[...new Uint32Array(buffer.memory, 0, 6)].join(' ')}`);
      };
      await each({ 'off the page': { opcode: 0x7c, prp1: shadow!.iova + 8n, prp2: looked!.iova } });
      await each({ 'on the page': { opcode: 0x7c, prp1: shadow!.iova, prp2: looked!.iova } });
      show();
      const words = new Uint32Array(shadow!.memory);
      note('# two commands, of which the doorbell tells one');
      pair.put(blocks(0, 1, flush));
      pair.put(blocks(0, 1, flush));
      words[2] = 2;
      driver.registers.write32(0x1008, 1);
      await until(() => new DataView(pair.completions.memory).getUint16(16 + 14, true) === 1);
      for (let count = 0; count < 2; count += 1) expect(pair.take().status).toBe(0);
      words[3] = 2;
      pair.release();
      show();
      note('# the admin queue, whose doorbells are copied');
      await driver.run({ opcode: getFeatures, words: [7] });
      show();
      golden('shadow-doorbells');
    });

    it('a full completion queue holds completions back until there is room', async () => {
      await driver.start();
      const completions = driver.allocate('CQ1', 4 * 16);
      await driver.run({ opcode: 5, prp1: completions.iova, words: [(2 << 16) | 1, 1] });
      const submissions = driver.allocate('SQ1', 16 * 64);
      await driver.run({ opcode: 1, prp1: submissions.iova, words: [(15 << 16) | 1, (1 << 16) | 1] });
      const view = new DataView(submissions.memory);
      for (let index = 0; index < 5; index += 1) {
        view.setUint8(index * 64, flush);
        view.setUint16(index * 64 + 2, 100 + index, true);
        view.setUint32(index * 64 + 4, 1, true);
      }
      driver.registers.write32(0x1008, 5);
      const answers = new DataView(completions.memory);
      const shown = async (): Promise<void> => {
        // Nothing tells that nothing more will come.
        await new Promise((resolve) => setTimeout(resolve, 100));
        for (let index = 0; index < 3; index += 1) note(`  entry ${index} has phase ${answers.getUint16(index * 16 + 14, true) & 1}`);
      };
      await shown();
      const taken = [0, 1].map((index) => answers.getUint16(index * 16 + 12, true));
      note('# two taken');
      driver.registers.write32(0x100c, 2);
      await shown();
      taken.push(...[2, 0].map((index) => answers.getUint16(index * 16 + 12, true)));
      driver.registers.write32(0x100c, 1);
      await shown();
      taken.push(answers.getUint16(16 + 12, true));
      // Each is done by a request of its own, and those end in any order.
      expect(taken.sort()).toEqual([100, 101, 102, 103, 104]);
      golden('full');
    });
  });

  describe('where memory is not to be reached', () => {
    /** Nothing is mapped there. */
    const nowhere = 0x7f_0000_0000n;

    it('data is lost and nobody hears of it; a list of pages is an error', async () => {
      await driver.start();
      const pair = await driver.createPair(1, 16);
      const io = (opcode: number, prp1: bigint, prp2 = 0n, count = 1): NvmeCommand => ({
        opcode,
        namespace: 1,
        prp1,
        prp2,
        words: [2048, 0, count - 1],
      });
      await each({ 'identify into nowhere': { opcode: identify, prp1: nowhere, words: [1] } });
      await each({ 'a timestamp from nowhere': { opcode: setFeatures, prp1: nowhere, words: [0x0e] } });
      data.bytes.fill(0x66);
      await each(
        {
          'written before': io(write, data.iova),
          'read into nowhere': io(read, nowhere),
          'written from nowhere': io(write, nowhere),
          'a list nowhere, to read by': io(read, data.iova, nowhere, 32),
          'and to write by': io(write, data.iova, nowhere, 32),
          'compared with nowhere': io(compare, nowhere),
        },
        pair,
      );
      await driver.run(io(read, data.iova), pair);
      note(`  ${[...new Set(data.bytes.subarray(0, 512))].join(' ')}`);
      golden('lost-data');
    });

    it('queues end the controller', async () => {
      await driver.start();
      driver.registers.write64(0x28, nowhere);
      driver.registers.write32(0x14, 0);
      driver.registers.write32(0x14, enabled);
      await driver.status(3, 1);
      driver.registers.write32(0x1000, 1);
      await driver.status(2);
      await driver.start();
      note('# completions');
      driver.registers.write32(0x14, 0);
      driver.registers.write64(0x30, nowhere);
      driver.registers.write32(0x14, enabled);
      await driver.status(3, 1);
      driver.registers.write32(0x1000, 1);
      await driver.status(2);
      golden('fatal');
    });

    it('and so does bus mastering that is off', async () => {
      await driver.start();
      const command = opened.device.config.read16(4);
      opened.device.config.write16(4, command & ~4);
      driver.admin.put({ opcode: getFeatures, words: [7] });
      driver.admin.ring();
      await driver.status(2);
      golden('no-mastering');
    });
  });
}
