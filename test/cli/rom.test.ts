/** What a ROM holds, by the headers of its images. */
import { describe, expect, it } from 'vitest';
import { readRom, romImages } from '../../lib/cli/show/rom.js';
import { E1000e, Machine } from '../../lib/sim/index.js';

interface Image {
  readonly code: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly last?: boolean;
}

/** Images of that kind, one behind the other, for a card [8086:10d3]. */
function rom(images: readonly Image[], size = 4096): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let start = 0;
  for (const { code, blocks, last = false } of images) {
    view.setUint16(start, 0xaa55, true);
    view.setUint16(start + 0x18, 0x1c, true);
    bytes.set(new TextEncoder().encode('PCIR'), start + 0x1c);
    view.setUint16(start + 0x20, 0x8086, true);
    view.setUint16(start + 0x22, 0x10d3, true);
    view.setUint16(start + 0x2c, blocks, true);
    view.setUint8(start + 0x30, code);
    view.setUint8(start + 0x31, last ? 0x80 : 0);
    start += blocks * 512;
  }
  return bytes;
}

const ids = { vendor: 0x8086, device: 0x10d3 };

describe('images', () => {
  it('are those up to the last', () => {
    const three = [
      { code: 0, blocks: 2 },
      { code: 3, blocks: 1, last: true },
      { code: 1, blocks: 1 },
    ];
    expect(romImages(rom(three))).toEqual([
      { kind: 'BIOS', size: 1024, ...ids },
      { kind: 'EFI', size: 512, ...ids },
    ]);
    expect(romImages(rom([{ code: 7, blocks: 1 }]))).toEqual([{ kind: 'kind 7', size: 512, ...ids }]);
  });

  it('end where the ROM does, and where there is no image', () => {
    expect(romImages(rom([{ code: 0, blocks: 8 }], 4096))).toHaveLength(1);
    expect(romImages(rom([{ code: 0, blocks: 0 }]))).toHaveLength(1);
    expect(romImages(rom([{ code: 0, blocks: 1 }]).subarray(0, 0x20))).toEqual([]);
    for (const none of [new Uint8Array(0), new Uint8Array(4096), new Uint8Array(4096).fill(0xff)]) expect(romImages(none)).toEqual([]);
  });
});

describe('the file', () => {
  it('is read as it is: on, off, or not there', () => {
    const { kernel } = new Machine({ devices: [{ model: new E1000e() }] });
    const folder = '/sys/bus/pci/devices/0000:00:03.0';
    expect(readRom(kernel, folder)).toEqual({ images: undefined });
    kernel.files.writeFile(`${folder}/rom`, new TextEncoder().encode('1'));
    expect(readRom(kernel, folder)?.images).toBeInstanceOf(Array);
    kernel.files.writeFile(`${folder}/rom`, new TextEncoder().encode('0\n'));
    expect(readRom(kernel, folder)).toEqual({ images: undefined });
    expect(readRom(kernel, '/sys')).toBeUndefined();
  });
});
