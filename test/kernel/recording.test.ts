/** Whatever is recorded on a kernel is answered the same without it, and what is not recorded is noticed. */
import { setImmediate as turn } from 'node:timers/promises';
import { openDevice as openBuilt } from 'vfio';
import { describe, expect, it } from 'vitest';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/index.js';
import { DepartedError, fail, MemoryFile, openDevice, record, replay, trace, type Kernel, type OpenWay } from '../../lib/index.js';
import { packBytes, samePacked, unpackBytes } from '../../lib/kernel/recording/bytes.js';
import { Edu, Machine, Nvme } from '../../lib/sim/index.js';
import { Controller } from '../../examples/nvme/controller.js';
import { thrown } from '../support/thrown.js';

const address = '0000:00:03.0';
const simulated = (): Kernel => new Machine({ devices: [{ model: new Edu() }] }).kernel;

/** Everything a driver of edu does: registers, an interrupt, memory there and back. Tells what it saw. */
async function drive(kernel: Kernel, { by = 'node', factorial = 10 }: { by?: OpenWay; factorial?: number } = {}): Promise<unknown[]> {
  const opened = openDevice(kernel, address, { by });
  try {
    const { device, dma } = opened;
    const registers = device.region(0).mmio;
    device.enableBusMaster();
    const [interrupt] = device.interrupt('msi').enable();
    registers.write32(0x20, 0x80);
    registers.write32(0x08, factorial);
    await interrupt!.wait({ timeoutMilliseconds: 1000 });
    registers.write32(0x64, registers.read32(0x24));
    const below = (1n << 28n) - 1n;
    const [sent, received] = [dma.allocate(4096, { below }), dma.allocate(4096, { below })];
    sent.bytes.forEach((_, index, bytes) => (bytes[index] = index * 7));
    for (const [source, target, command] of [
      [sent.iova, 0x4_0000n, 1n],
      [0x4_0000n, received.iova, 3n],
    ] as const) {
      registers.write64(0x80, source);
      registers.write64(0x88, target);
      registers.write64(0x90, 2048n);
      registers.write64(0x98, command);
      while ((registers.read64(0x98) & 1n) !== 0n) await turn();
    }
    const values = new Uint32Array(2);
    registers.readRange(0, values);
    return [registers.read32(0x08), values, sent.iova, received.bytes.slice()];
  } finally {
    opened.close();
  }
}

async function recorded<T>(kernel: Kernel, program: (kernel: Kernel) => T): Promise<{ text: string; result: Awaited<T> }> {
  const lines: string[] = [];
  const result = await program(record(kernel, (line) => lines.push(line)));
  return { text: lines.join(''), result };
}

/** Records the program, and has it run again on what was recorded: it comes to the same. */
async function again<T>(kernel: Kernel, program: (kernel: Kernel) => T): Promise<Awaited<T>> {
  const { text, result } = await recorded(kernel, program);
  const replayed = replay(text);
  expect(await program(replayed)).toEqual(result);
  replayed.assertFinished();
  expect([replayed.left, replayed.departure]).toEqual([0, undefined]);
  return result;
}

describe('a recording', () => {
  it.each(['node', 'group', 'compatibility'] as const)('is the driver of edu again, by %s', async (by) => {
    const plain = await drive(simulated(), { by });
    expect(await again(simulated(), (kernel) => drive(kernel, { by }))).toEqual(plain);
  });

  it.each(['interrupts', 'polling'] as const)('is the driver of a drive again, with %s', async (completion) => {
    const machine = new Machine({ devices: [{ model: new Nvme() }] });
    const [sector] = await again(machine.kernel, async (kernel) => {
      const opened = openBuilt(kernel, address);
      const controller = await Controller.open(opened, { completion });
      try {
        const namespace = controller.namespaces[0]!;
        const buffer = opened.dma.allocate(4096);
        buffer.bytes.fill(0x5a);
        await namespace.write(0n, 1, buffer);
        buffer.bytes.fill(0);
        await namespace.read(0n, 1, buffer);
        return [buffer.bytes[100], controller.model];
      } finally {
        await controller.close();
        opened.close();
      }
    });
    expect(sector).toBe(0x5a);
  });

  it('has files, many maps at once, maps on another thread, and memory files', async () => {
    await again(simulated(), async (kernel) => {
      const opened = openDevice(kernel, address);
      const { dma } = opened;
      const [one, other] = [dma.allocate(8192), await dma.allocateAsync(8192)];
      const at = kernel.addressOf(one.memory);
      const iovas = dma.mapMany([0n, 4096n].map((offset) => ({ address: at + offset, size: 4096n })));
      dma.unmapMany(iovas.map((iova) => ({ iova, size: 4096n })));
      const file = MemoryFile.create(kernel, 4096);
      file.write(8, new Uint8Array([1, 2, 3]));
      file.mmio.write32(16, 0xdead_beef);
      const bytes = new Uint8Array(32);
      file.read(0, bytes);
      const seen = [kernel.files.readdir('/sys/bus/pci/devices'), kernel.files.stat('/dev/vfio/vfio'), kernel.files.readFile('/nowhere')];
      file.close();
      opened.close();
      return [iovas, other.iova, bytes, seen, file.closed];
    });
  });

  it('has errors of the kernel, and what was thrown', async () => {
    const kernel = fail(simulated(), { on: VFIO_IOMMU_MAP_DMA, nth: 2, errno: 'ENOMEM' });
    const result = await again(kernel, (kernel) => {
      const opened = openDevice(kernel, address, { by: 'group' });
      const said = (run: () => unknown): unknown => {
        try {
          return run();
        } catch (error) {
          return [(error as Error).name, (error as Error).message, (error as { code?: string }).code];
        }
      };
      opened.dma.allocate(4096);
      const errors = [() => opened.dma.allocate(4096), () => opened.device.region(0).mmio.read32(0x10_0000)].map(said);
      const mapping = kernel.mmap(-1, 4096, 3, 0x22, 0);
      if (typeof mapping !== 'number') mapping.unmap();
      errors.push(said(() => typeof mapping !== 'number' && mapping.mmio.read8(0)));
      opened.close();
      return errors;
    });
    expect(result).toMatchObject([{ 2: 'ENOMEM' }, { 0: 'RangeError' }, { 2: 'ERR_VFIO_CLOSED' }]);
  });

  it('is the same through a trace, whose calls are others', async () => {
    const names = new Set<string>();
    await again(
      trace(simulated(), ({ name }) => names.add(name)),
      (kernel) => drive(kernel),
    );
    expect(names).toContain('ioctl');
  });

  it('names requests, and begins with where it was made', async () => {
    const { text } = await recorded(simulated(), (kernel) => openDevice(kernel, address).close());
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { request?: string });
    expect(lines[0]).toEqual({ recording: 1, kernel: '7.3.0', iommu: ['dmar0'] });
    expect(lines.map(({ request }) => request)).toContain('VFIO_DEVICE_BIND_IOMMUFD');
  });

  it('wakes who waits for memory by turns of the event loop alone', async () => {
    const memory = new ArrayBuffer(4096);
    const mapping = { length: 4096, memory, populate: () => Promise.resolve(0), unmap: () => {} };
    const kernel = { ...simulated(), files: simulated().files, mmap: () => mapping as never };
    const wait = async (kernel: Kernel): Promise<number> => {
      const { memory } = kernel.mmap(-1, 4096, 3, 0x22, 0) as { memory: ArrayBuffer };
      const bytes = new Uint8Array(memory);
      let sum = 0;
      for (const value of [3, 5]) {
        while (bytes[7] !== value) await turn();
        sum += bytes[7] ?? 0;
        bytes[7] = 0;
      }
      kernel.files.access('/sys');
      return sum;
    };
    // A device that writes by itself, when it sees that what it wrote was taken.
    const device = setInterval(() => {
      const bytes = new Uint8Array(memory);
      if (bytes[8] === 2 || bytes[7] !== 0) return;
      bytes[7] = bytes[8] === 1 ? 5 : 3;
      bytes[8] = (bytes[8] ?? 0) + 1;
    }, 2);
    try {
      expect(await again(kernel, wait)).toBe(8);
    } finally {
      clearInterval(device);
    }
  });
});

describe('a departure', () => {
  it('says which call was recorded, which came, and where', async () => {
    const { text } = await recorded(simulated(), (kernel) => drive(kernel));
    const told: DepartedError[] = [];
    const kernel = replay(text, { departed: (departure) => told.push(departure) });
    await expect(drive(kernel, { factorial: 11 })).rejects.toMatchObject({ code: 'ERR_VFIO_DEPARTED' });
    expect(told).toHaveLength(1);
    expect(told[0]).toBe(kernel.departure);
    expect(told[0]?.recorded).toBe('write32(mapping=1, offset=8, value=10)');
    expect(told[0]?.message).toMatch(/^The program departs from the recording at entry \d+: .*; the program made write32\(.*value=11\)$/);
    expect(told[0]?.stack).toContain('recording.test.ts');
    expect(() => kernel.assertFinished()).toThrow(told[0]);
    expect(() => kernel.eventfd(0, 0)).toThrow(DepartedError);
  });

  it('has requests in words', async () => {
    const { text } = await recorded(simulated(), (kernel) => openDevice(kernel, address, { by: 'group' }).close());
    const error = thrown(DepartedError, () => openDevice(replay(text), address, { by: 'node' }));
    expect([error.recorded, error.came]).toEqual([
      expect.stringMatching(/^open\("\/dev\/vfio\/vfio", RDWR\) = \d+$/) as string,
      'the program made open("/dev/iommu", RDWR)',
    ]);
  });

  it('is a call behind the end, and calls that are left', async () => {
    const { text } = await recorded(simulated(), ({ files }) => [files.access('/sys'), files.access('/proc')]);
    const kernel = replay(text);
    expect(() => kernel.assertFinished()).toThrow(/entry 1: recorded was access\("\/sys"\) = 0; the program ended$/);
    kernel.files.access('/sys');
    expect(kernel.left).toBe(1);
    kernel.files.access('/proc');
    kernel.assertFinished();
    expect(thrown(DepartedError, () => kernel.files.access('/proc')).message).toContain('the recording is at its end');
  });

  it('is not another look at a register that says nothing new, but a loop of them', async () => {
    const looks = (kernel: Kernel, times: number): number[] => {
      const opened = openDevice(kernel, address);
      const { mmio } = opened.device.region(0);
      const seen = Array.from({ length: times }, () => mmio.read32(0));
      mmio.write32(4, 1);
      opened.close();
      return seen;
    };
    const { text, result } = await recorded(simulated(), (kernel) => looks(kernel, 3));
    for (const times of [1, 3, 9]) {
      const kernel = replay(text);
      expect(looks(kernel, times)).toEqual(Array<number>(times).fill(result[0]!));
      kernel.assertFinished();
    }
    expect(() => looks(replay(text), 2000)).toThrow(DepartedError);
  });
});

describe('what is no recording', () => {
  it.each([
    ['', 'nothing in the recording'],
    ['{"recording":1}\nbogus\n', 'Line 2 of the recording is no JSON'],
    ['{"recording":1}\n5\n', 'Line 2 of the recording is no object'],
    ['{"recording":2}\n', 'Line 1 of the recording is of version 2, not 1'],
    ['{"call":"close","fd":1}\n', 'Line 1 of the recording belongs to what has not begun'],
  ])('%j', (text, words) => {
    expect(() => replay(text)).toThrow(words);
  });

  it('is a part that it lacks; a last line that was cut short is left out', () => {
    const text = '{"recording":1}\n{"call":"close","fd":1,"result":0}\n{"call":"clo';
    expect(replay(text).left).toBe(1);
    expect(() => replay(text, { part: 2 })).toThrow('The recording has no part 2');
  });
});

it('bytes are few and readable, or many and short', () => {
  for (const length of [0, 1, 64, 65, 1000]) {
    const zeros = new Uint8Array(length);
    const noise = Uint8Array.from({ length }, (_, index) => (index * index * 31 + (index >> 3)) & 0xff);
    for (const bytes of [zeros, noise]) expect(unpackBytes(packBytes(bytes))).toEqual(bytes);
    expect(packBytes(zeros).length).toBeLessThanOrEqual(128);
  }
  expect(packBytes(new Uint8Array([1, 0xab]))).toBe('01ab');
  expect(samePacked('base64:AAAA', 'deflate:Y2BgAAA=')).toBe(true);
  expect(samePacked('00', '01')).toBe(false);
  expect(() => unpackBytes('0x1')).toThrow(SyntaxError);
});
