import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configText } from '../../lib/cli/show/config-text.js';
import { decodeConfigSpace } from '../../lib/pci/index.js';

/** A device with a chain of capabilities: what is written at which offset. */
function space(size: 64 | 256 | 4096, contents: Readonly<Record<number, readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set([0x86, 0x80, 0xd3, 0x10, 0x07, 0x00, 0x10, 0x00]);
  for (const [offset, values] of Object.entries(contents)) bytes.set(values, Number(offset));
  return bytes;
}

describe('decodeConfigSpace', () => {
  it('names the bits of the header', () => {
    const { size, header, problems } = decodeConfigSpace(space(64, { 0x0c: [16, 64], 0x10: [0xc, 0, 0, 0xfe], 0x3c: [11, 1] }));
    expect({ size, problems }).toEqual({ size: 64, problems: [] });
    expect(header).toMatchObject({
      ...{ vendor: 0x8086, device: 0x10d3, headerType: 0, multiFunction: false },
      ...{ cacheLineSize: 64, latencyTimer: 64, interruptLine: 11, interruptPin: 1 },
      bars: [0xfe00_000c, 0, 0, 0, 0, 0],
      command: { ioSpace: true, memorySpace: true, busMaster: true, interruptDisable: false },
      status: { capabilitiesList: true, deviceSelect: 'fast' },
    });
    expect(header.bridge).toBeUndefined();
  });

  it('has of a bridge what it passes on, 64 bits wide where it says so', () => {
    const bytes = space(256, {
      0x0e: [0x81],
      0x18: [0, 1, 2],
      0x1c: [0x11, 0x21],
      0x20: [0, 0xfe, 0x10, 0xfe],
      0x24: [1, 0, 0x31, 0],
      0x28: [1, 0, 0, 0, 2],
    });
    bytes.set([1, 0, 2], 0x30);
    const { header } = decodeConfigSpace(bytes);
    expect(header).toMatchObject({ multiFunction: true, bars: [0, 0] });
    expect(header.bridge).toMatchObject({
      ...{ primaryBus: 0, secondaryBus: 1, subordinateBus: 2 },
      io: { base: 0x1_1000n, limit: 0x2_2fffn, bits: 32 },
      memory: { base: 0xfe00_0000n, limit: 0xfe1f_ffffn, bits: 32 },
      prefetchable: { base: 0x1_0000_0000n, limit: 0x2_003f_ffffn, bits: 64 },
    });
  });

  it('keeps a capability that nothing is known of, with its length up to the next', () => {
    const { capabilities } = decodeConfigSpace(space(256, { 0x34: [0x40], 0x40: [0x7f, 0x50, 0x34, 0x12], 0x50: [0x05, 0, 0x80, 0] }));
    expect(capabilities).toEqual([
      { id: 0x7f, name: 'Unknown', offset: 0x40, length: 16, registers: { flags: 0x1234 } },
      expect.objectContaining({ id: 5, name: 'MSI', offset: 0x50, length: 14 }),
    ]);
  });

  it('finds extended capabilities of a device of PCI Express only', () => {
    const serial = { 0x100: [3, 0, 1, 0, 0x56, 0x34, 0x12, 0, 0, 0, 0x54, 0x52] };
    expect(decodeConfigSpace(space(4096, serial)).extendedCapabilities).toEqual([]);
    expect(decodeConfigSpace(space(4096, { ...serial, 0x34: [0x40], 0x40: [0x10, 0, 2, 0] })).extendedCapabilities).toEqual([
      { id: 3, name: 'Device Serial Number', offset: 0x100, version: 1, length: 12, registers: { serialNumber: 0x5254_0000_0012_3456n } },
    ]);
  });

  it.each<[string, Readonly<Record<number, readonly number[]>>, string]>([
    ['loops', { 0x34: [0x40], 0x40: [1, 0x50], 0x50: [5, 0x40] }, 'The chain of capabilities loops at 40'],
    ['leads into the header', { 0x34: [0x10] }, 'The chain of capabilities leads to 10, into the header'],
    ['leads to nothing', { 0x34: [0x40], 0x40: [0xff, 0xff] }, 'The chain of capabilities leads to 40, where there is none'],
    ['leads beyond the end', { 0x34: [0xfc], 0xfc: [0x11, 0] }, 'MSI-X at fc reaches beyond the end'],
    [
      'loops beyond the first 256 bytes',
      { 0x34: [0x40], 0x40: [0x10, 0, 2, 0], 0x100: [3, 0, 1, 0x10] },
      'The chain of extended capabilities loops at 100',
    ],
    [
      'leads to where there are none',
      { 0x34: [0x40], 0x40: [0x10, 0, 2, 0], 0x100: [3, 0, 1, 0x20] },
      'The chain of extended capabilities leads to 200, where there is none',
    ],
    [
      'leads back before the first',
      { 0x34: [0x40], 0x40: [0x10, 0, 2, 0], 0x100: [3, 0, 1, 0x08] },
      'The chain of extended capabilities leads to 80, before the first',
    ],
  ])('says of a chain that it %s', (_what, contents, problem) => {
    const config = decodeConfigSpace(space(4096, contents));
    expect(config.problems).toEqual([problem]);
    expect(configText(config).at(-1)).toBe(`\t!!! ${problem}`);
  });

  it('says that there is nothing to see of a header that it does not know', () => {
    const { capabilities, problems } = decodeConfigSpace(space(256, { 0x0e: [2] }));
    expect(capabilities).toEqual([]);
    expect(problems).toEqual(['Header type 2: only what all types have is decoded']);
  });

  it('takes no other sizes', () => {
    expect(() => decodeConfigSpace(new Uint8Array(128))).toThrow('Expected 64, 256 or 4096 bytes for bytes but received 128');
  });

  it('makes something of whatever bytes there are', () => {
    fc.assert(
      fc.property(fc.constantFrom(64, 256, 4096), fc.integer(), fc.boolean(), (size, seed, express) => {
        const bytes = new Uint8Array(size);
        let state = seed;
        for (let index = 0; index < size; index += 1) {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
          bytes[index] = state >>> 24;
        }
        bytes[6] = 0x10;
        if (express && size > 64) bytes.set([0x10, bytes[0x41]!], bytes[0x34]! & ~3);
        const config = decodeConfigSpace(bytes);
        expect(config.size).toBe(size);
        for (const { offset, length } of [...config.capabilities, ...config.extendedCapabilities])
          expect(offset + length).toBeLessThanOrEqual(size);
        expect(configText(config).every((line) => line.startsWith('\t') && !/undefined|NaN|\[object/.test(line))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('tells those who may not see more than the header', () => {
    expect(configText(decodeConfigSpace(space(64, {}))).at(-1)).toBe('\tCapabilities: <access denied>');
  });
});
