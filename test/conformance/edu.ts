/** The educational device, as QEMU's is: every register access and what came of it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import type { DmaBuffer, Interrupt, Mmio } from '../../lib/index.js';
import { expectDevice } from '../support/golden.js';
import { Trace, until, type RegisterName, type SingleMmio } from '../support/models/trace.js';
import type { Variant } from '../support/subject.js';

const names: Readonly<Record<number, RegisterName>> = {
  ...{ 0x00: { name: 'identification' }, 0x04: { name: 'liveness' }, 0x08: { name: 'factorial' }, 0x20: { name: 'status' } },
  ...{ 0x24: { name: 'interrupt status' }, 0x60: { name: 'interrupt raise' }, 0x64: { name: 'interrupt acknowledge' } },
  ...{ 0x80: { name: 'DMA source', address: true }, 0x88: { name: 'DMA destination', address: true } },
  ...{ 0x90: { name: 'DMA count' }, 0x98: { name: 'DMA command' } },
};
const memory = 0x4_0000n;
const addressBits = 28n;
const below = (1n << addressBits) - 1n;

export function edu(variant: Variant): void {
  let opened: OpenDevice;
  let trace: Trace;
  let quiet: Mmio;
  let registers: SingleMmio;
  let data: DmaBuffer;

  beforeEach(async () => {
    const subject = variant.make();
    opened = openDevice(subject.kernel, subject.edu.address);
    opened.device.enableBusMaster();
    trace = new Trace();
    quiet = opened.device.region(0).mmio;
    registers = trace.registers(quiet, (offset) => names[offset] ?? { name: `0x${offset.toString(16)}` });
    data = trace.name('data', opened.dma.allocate(8192, { below }));
    // Nothing but power-on resets it.
    quiet.write32(0x20, 0);
    quiet.write32(0x64, 0xffff_ffff);
    // What its last transfer was, only another one changes.
    for (const [offset, value] of [
      [0x80, data.iova],
      [0x88, memory],
      [0x90, 4n],
      [0x98, 1n],
    ] as const)
      quiet.write64(offset, value);
    await idle();
    for (const offset of [0x80, 0x88, 0x90]) quiet.write64(offset, 0n);
  });
  afterEach(() => opened.close());

  const golden = (name: string): void => expectDevice(variant, `edu-${name}`, trace.take());
  const note = (line: string): void => trace.note(line);
  const idle = (): Promise<void> => until(() => (quiet.read32(0x20) & 1) === 0 && (quiet.read32(0x98) & 1) === 0);

  it('its registers are read and written in these widths, and no others', () => {
    registers.write32(0x04, 0x1234_5678);
    const all = (): void => {
      for (let offset = 0; offset < 0xa8; offset += 8) registers.read64(offset);
      for (let offset = 0; offset < 0xa8; offset += 4) if (offset !== 0x08 && offset !== 0x98) registers.read32(offset);
      for (const offset of [0x00, 0x02, 0x04, 0x80, 0x4_0000]) registers.read16(offset);
      for (const offset of [0x00, 0x05, 0x80]) registers.read8(offset);
      for (const offset of [0x4_0000, 0xf_fffc]) registers.read32(offset);
    };
    registers.write64(0x98, 0n);
    registers.read64(0x98);
    all();
    note('# narrow and wide writes');
    registers.write8(0x04, 0xff);
    registers.write16(0x04, 0xffff);
    registers.write64(0x00, 0n);
    registers.write16(0x80, 0xffff);
    registers.write32(0x80, 0x89ab_cdef);
    registers.write32(0x84, 0x0123_4567);
    registers.write64(0x88, 0x0123_4567_89ab_cdefn);
    registers.write32(0x90, 0xffff_ffff);
    registers.write32(0x20, 0xffff_ffff);
    registers.write32(0x24, 0xffff_ffff);
    registers.write64(0x98, 2n);
    all();
    golden('registers');
  });

  it('factorials are of 32 bits', async () => {
    for (const operand of [0, 1, 2, 5, 12, 13, 20, 33, 34, 1000]) {
      registers.write32(0x08, operand);
      await idle();
      registers.read32(0x08);
      registers.read32(0x20);
    }
    golden('factorial');
  });

  it.each(['msi', 'intx'] as const)('interrupts are raised and acknowledged, by %s', async (kind) => {
    const interrupt: Interrupt = opened.device.interrupt(kind).enable()[0]!;
    const arrived = async (): Promise<void> => note(`interrupts: ${await interrupt.wait({ timeoutMilliseconds: 5000 })}`);
    registers.write32(0x60, 0x10);
    await arrived();
    registers.read32(0x24);
    registers.write32(0x64, 0x10);
    registers.read32(0x24);
    note('# two causes, one after the other');
    registers.write32(0x60, 0x3);
    await arrived();
    registers.write32(0x64, 0x1);
    registers.read32(0x24);
    if (kind === 'intx') await arrived();
    registers.write32(0x64, 0x2);
    registers.write32(0x60, 0);
    registers.read32(0x24);
    note('# by the factorial');
    registers.write32(0x20, 0x80);
    registers.write32(0x08, 6);
    await arrived();
    registers.read32(0x24);
    registers.read32(0x08);
    registers.write32(0x64, 0x1);
    registers.write32(0x20, 0);
    golden(`interrupts-${kind}`);
  });

  it('DMA goes both ways, to any byte but the last, with addresses cut to 28 bits', async () => {
    const transfer = async (source: bigint, destination: bigint, count: number, command: bigint): Promise<void> => {
      registers.write64(0x80, source);
      // Above its bits the address is another number, of which there is no name.
      (destination >> addressBits === 0n ? registers : quiet).write64(0x88, destination);
      registers.write64(0x90, BigInt(count));
      registers.write64(0x98, command | 1n);
      await idle();
      registers.read64(0x98);
      registers.read32(0x24);
    };
    data.bytes.forEach((_, index, bytes) => (bytes[index] = (index * 7 + (index >> 8)) & 0xff));
    const sent = data.bytes.slice(0, 4095);
    await transfer(data.iova, memory, 4095, 0n);
    data.bytes.fill(0);
    await transfer(memory, data.iova + 1n, 4095, 2n);
    expect(Buffer.compare(data.bytes.subarray(1, 4096), sent)).toBe(0);
    expect([data.bytes[0], data.bytes[4096]]).toEqual([0, 0]);
    note('# a part, above the 28 bits');
    data.bytes.fill(0);
    await transfer(memory + 100n, (data.iova + 8n) | (1n << addressBits), 50, 6n);
    registers.write32(0x64, 0x100);
    expect(Buffer.compare(data.bytes.subarray(8, 58), sent.subarray(100, 150))).toBe(0);
    expect(data.bytes.subarray(58, 4096).every((byte) => byte === 0)).toBe(true);
    note('# registers keep still while it runs');
    registers.write64(0x80, memory);
    registers.write64(0x88, data.iova);
    registers.write64(0x90, 16n);
    registers.write64(0x98, 3n);
    for (const offset of [0x80, 0x88, 0x90, 0x98]) quiet.write64(offset, 1n);
    await idle();
    for (const offset of [0x80, 0x88, 0x90, 0x98]) registers.read64(offset);
    expect(Buffer.compare(data.bytes.subarray(0, 16), sent.subarray(0, 16))).toBe(0);
    golden('dma');
  });
}
